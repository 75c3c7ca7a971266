use super::parser::SqlError;

/// One token and where it begins, in bytes.
pub(super) type Placed<'a> = (usize, Token<'a>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// One of the grammar's own words, in upper case.
    Keyword(&'static str),
    /// A property's name.
    Name(&'a str),
    /// Text in quotes, without them.
    Text(String),
    /// A whole number, an L at its end included.
    Integer(&'a str),
    /// A number with a point or an exponent.
    Decimal(&'a str),
    Symbol(&'static str),
    End,
}

/// The grammar's own words; every other word is a property.
const KEYWORDS: [&str; 12] = [
    "NOT",
    "AND",
    "OR",
    "BETWEEN",
    "IN",
    "TRUE",
    "FALSE",
    "NULL",
    "IS",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
];
/// A longer symbol stands before its beginning.
const SYMBOLS: [&str; 11] = ["<>", ">=", "<=", "=", ">", "<", "(", ")", ",", "+", "-"];

/// Splits an expression into tokens, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed<'_>>, SqlError> {
    let mut found = Vec::new();
    let last_line = text.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let mut at = 0;
    loop {
        at += skipped(text.get(at..).unwrap_or_default(), last_line.saturating_sub(at));
        let rest = text.get(at..).unwrap_or_default();
        if rest.is_empty() {
            found.push((at, Token::End));
            return Ok(found);
        }
        let (token, length) = token(rest).map_err(|problem| problem.at(text, at))?;
        found.push((at, token));
        at += length;
    }
}

/// What a token cannot be made of.
enum Problem {
    Unreadable(char),
    EndlessText,
}

impl Problem {
    fn at(self, text: &str, at: usize) -> SqlError {
        let column = column(text, at);
        match self {
            Self::Unreadable(character) => SqlError::Unreadable { character, column },
            Self::EndlessText => SqlError::EndlessText { column },
        }
    }
}

/// Counts characters from 1, as people do.
pub(super) fn column(text: &str, at: usize) -> usize {
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}

/// Length of the white space and comments a text begins with, whose last line begins at `last_line`.
fn skipped(text: &str, last_line: usize) -> usize {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        let line_ends = text.len() - trimmed.len() < last_line;
        let after = after_comment(trimmed, line_ends).unwrap_or(trimmed);
        if after.len() == rest.len() {
            return text.len() - rest.len();
        }
        rest = after;
    }
}

/// What follows the comment a text begins with. As in RocketMQ, a line's comment must end with the line.
fn after_comment(text: &str, line_ends: bool) -> Option<&str> {
    if line_ends && let Some(comment) = text.strip_prefix("--") {
        return comment.split_once(['\n', '\r']).map(|(_, after)| after);
    }
    text.strip_prefix("/*")?.split_once("*/").map(|(_, after)| after)
}

fn token(rest: &str) -> Result<(Token<'_>, usize), Problem> {
    let first = rest.chars().next().unwrap_or('\0');
    if first == '\'' {
        return quoted(rest).ok_or(Problem::EndlessText);
    }
    if let Some(length) = decimal(rest) {
        return Ok((Token::Decimal(rest.get(..length).unwrap_or_default()), length));
    }
    if first.is_ascii_digit() {
        let length = integer(rest);
        return Ok((Token::Integer(rest.get(..length).unwrap_or_default()), length));
    }
    if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
        return Ok((Token::Symbol(symbol), symbol.len()));
    }
    let length = word(rest);
    match rest.get(..length) {
        Some(word) if length > 0 => Ok((keyword_or_name(word), length)),
        _ => Err(Problem::Unreadable(first)),
    }
}

fn keyword_or_name(word: &str) -> Token<'_> {
    let keyword = KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word));
    keyword.map_or(Token::Name(word), Token::Keyword)
}

/// Length of the word a text begins with.
fn word(rest: &str) -> usize {
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    let inside = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '$');
    rest.find(|character| !inside(character)).unwrap_or(rest.len())
}

/// Text up to its closing quote; two quotes inside are one.
fn quoted(rest: &str) -> Option<(Token<'_>, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            return Some((Token::Text(text), at + 1));
        }
    }
    None
}

/// Length of a whole number: 0 stands alone, and an L may follow any other.
fn integer(rest: &str) -> usize {
    if rest.starts_with('0') {
        return 1;
    }
    let length = digits(rest);
    let long = rest.get(length..).is_some_and(|after| after.starts_with(['l', 'L']));
    length + usize::from(long)
}

/// Length of a number with a point or an exponent.
fn decimal(rest: &str) -> Option<usize> {
    let before = digits(rest);
    let after_digits = rest.get(before..).unwrap_or_default();
    let Some(fraction) = after_digits.strip_prefix('.') else {
        return (before > 0).then(|| exponent(after_digits)).flatten().map(|length| before + length);
    };
    let after = digits(fraction);
    if before + after == 0 {
        return None;
    }
    let length = before + 1 + after;
    Some(length + exponent(rest.get(length..).unwrap_or_default()).unwrap_or(0))
}

fn exponent(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix(['e', 'E'])?;
    let sign = usize::from(after.starts_with(['+', '-']));
    let length = digits(after.get(sign..).unwrap_or_default());
    (length > 0).then_some(1 + sign + length)
}

fn digits(text: &str) -> usize {
    text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Token<'_>> {
        tokens(text).unwrap().into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn words_are_keywords_in_any_case_and_else_names() {
        let expected = [Token::Keyword("NOT"), Token::Name("nots"), Token::Name("$a_1"), Token::End];
        assert_eq!(read("nOt nots $a_1"), expected);
    }

    #[test]
    fn numbers_end_where_javas_do() {
        let expected = [
            Token::Integer("5L"),
            Token::Integer("0"),
            Token::Integer("7"),
            Token::Decimal("1.2"),
            Token::Decimal(".3e-1"),
            Token::Integer("1"),
            Token::Name("e"),
            Token::End,
        ];
        assert_eq!(read("5L 07 1.2.3e-1 1e"), expected);
    }

    #[test]
    fn comments_are_passed_over_and_quotes_doubled_inside_text() {
        let expected =
            [Token::Name("a"), Token::Symbol("<>"), Token::Text("it's -- /* x".to_owned()), Token::End];
        assert_eq!(read("a /* ** / */ <> -- c\n'it''s -- /* x'"), expected);
    }

    #[test]
    fn what_is_no_token_is_named_with_its_column() {
        assert_eq!(tokens("ü = 5"), Err(SqlError::Unreadable { character: 'ü', column: 1 }));
        assert_eq!(tokens("a = 'ü' ; b"), Err(SqlError::Unreadable { character: ';', column: 9 }));
        assert_eq!(tokens("a = 'b"), Err(SqlError::EndlessText { column: 5 }));
        assert_eq!(tokens("a /* b"), Err(SqlError::Unreadable { character: '/', column: 3 }));
    }
}
