//! The rules of a description that can be checked where it is written. The host checks them again.

use std::time::Duration;

use syn::{Error, FnArg, ItemFn, LitStr, Result, ReturnType};

/// 1 to `most` ASCII letters, digits and `extra`.
pub(crate) fn name(what: &str, text: &LitStr, most: usize, extra: &str) -> Result<()> {
    let value = text.value();
    let allowed = |c: &char| c.is_ascii_alphanumeric() || extra.contains(*c);
    let extra: Vec<String> = extra.chars().map(String::from).collect();
    match value.chars().find(|c| !allowed(c)) {
        _ if value.is_empty() => Err(Error::new(text.span(), format!("{what} is not empty"))),
        Some(odd) => {
            let rule = format!("{what} has only A-Z a-z 0-9 {}; this one has {odd:?}", extra.join(" "));
            Err(Error::new(text.span(), rule))
        }
        None if value.len() > most => Err(Error::new(
            text.span(),
            format!("{what} has at most {most} characters; this one has {}", value.len()),
        )),
        None => Ok(()),
    }
}

/// `*`, or tags joined by `||`.
pub(crate) fn tags(text: &LitStr) -> Result<()> {
    let value = text.value();
    let sound =
        |tag: &str| !tag.is_empty() && tag != "*" && !tag.contains(|c: char| c.is_whitespace() || c == '|');
    if value.trim() == "*" || value.split("||").all(|tag| sound(tag.trim())) {
        return Ok(());
    }
    Err(Error::new(
        text.span(),
        "tags are joined by `||`, as in \"created || paid\", or \"*\" for every message",
    ))
}

/// `500ms`, `5s`, `2m` or `1h`, at least a millisecond.
pub(crate) fn duration(text: &LitStr) -> Result<Duration> {
    let value = text.value();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let milliseconds = factor.and_then(|factor: u64| number.parse::<u64>().ok()?.checked_mul(factor));
    milliseconds.filter(|milliseconds| *milliseconds > 0).map(Duration::from_millis).ok_or_else(|| {
        Error::new(text.span(), "a time is a number above 0 with ms, s, m or h, such as \"500ms\" or \"5s\"")
    })
}

/// A function that can be called as the plugin: free, plain, with this many parameters and a result.
pub(crate) fn function(function: &ItemFn, parameters: &[usize], shape: &str) -> Result<()> {
    let signature = &function.sig;
    let like = |what: &str| format!("{what}; the function is like `{shape}`");
    if let Some(token) = &signature.asyncness {
        return Err(Error::new_spanned(
            token,
            like("a plugin's function is not async: the host calls it on a thread of its own"),
        ));
    }
    if let Some(token) = &signature.unsafety {
        return Err(Error::new_spanned(token, like("a plugin's function is not unsafe")));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            like("a plugin's function has no generic parameters"),
        ));
    }
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(Error::new_spanned(receiver, like("a plugin's function stands by itself, without self")));
    }
    if !parameters.contains(&signature.inputs.len()) {
        let found = signature.inputs.len();
        let wanted: Vec<String> = parameters.iter().map(ToString::to_string).collect();
        let what = format!("it takes {found} parameters, not {}", wanted.join(" or "));
        return Err(Error::new_spanned(&signature.ident, like(&what)));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new_spanned(&signature.ident, like("it answers nothing")));
    }
    Ok(())
}
