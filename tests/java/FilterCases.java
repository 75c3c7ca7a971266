import java.io.PrintStream;
import java.io.StringReader;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.filter.expression.BooleanExpression;
import org.apache.rocketmq.filter.expression.ComparisonExpression;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.parser.SelectorParser;

/**
 * Lets RocketMQ's SQL92 filter read hundreds of expressions and evaluate each on messages of many kinds, for the embedded
 * broker's filter to be held to.
 */
public final class FilterCases {
    private static final int GENERATED = 900;

    /** Properties of the messages, each {@code name=value;name=value}. */
    private static final String[] MESSAGES = {
        "", "a=5", "b=5", "a=10;b=5", "a=5;b=5", "a=5.0;b=05", "a=-1;b=-2.5;s=", "a=3000000000;b=5",
        "a=2147483647;b=2147483648", "a=9223372036854775807;b=9223372036854775808", "a=abc;b=abc;s=abc", "a= 5;b=6 ", "a=5d;b=5F",
        "a=NaN;b=1", "a=Infinity;b=-Infinity", "a=infinity;b=inf", "a=1e3;b=1000", "a=+5;b=+5.5", "a=-0.0;b=0.0",
        "a=.5;b=5.", "a=0x10;b=1_000", "a=e5;b=1e;s=+", "a=true;flag=true", "flag=TRUE;s=red", "flag=false;s=RED", "flag=yes;s=blue;a=7",
        "s=it's;b=1", "s=a red rose;a=6;b=6", "s=red rose;flag=false", "s=rose red;A=1", "s=größe ü;a=1", "a=;b=3;s=re",
    };

    /** What is worth asking whatever the generator makes. */
    private static final String[] WRITTEN = {
        "a > 5 AND s = 'red'", "a > 5 OR s = 'red'", "a>5", "a\t>\n5", "a = 5", "a = 5.0", "a = 5L", "a = 5l", "a = 05", "a = 0", "a = 00",
        "a <> 5", "a <> 'abc'", "a != 5", "a == 5", "a = b", "a <> b", "a > b", "a >= b", "a < b", "a <= b", "5 = a", "5 < a",
        "5.5 >= b", "'abc' = a", "a = 'abc'", "a > 'abc'", "'abc' < a", "s = 'it''s'", "s = 'it's'", "s = ''", "s = \"red\"", "s = 'red",
        "a BETWEEN 1 AND 6", "a NOT BETWEEN 1 AND 6", "a BETWEEN 6 AND 1", "a NOT BETWEEN 6 AND 1", "a BETWEEN b AND 10",
        "a BETWEEN 1 AND b", "a BETWEEN -5 AND -6", "a BETWEEN 1 AND 1", "a BETWEEN 'a' AND 'b'", "a BETWEEN 1 AND 'b'",
        "a BETWEEN NULL AND 5", "a BETWEEN 1 AND TRUE", "a BETWEEN 1.5 AND 2", "a BETWEEN 2.5 AND 2", "5 BETWEEN a AND b",
        "a between 1 and 6 and b = 5", "a BETWEEN 1 OR 6", "a BETWEEN 1", "s BETWEEN 1 AND 5", "a NOT 5", "a NOT BETWEEN", "a NOT b",
        "s IN ('red', 'blue')", "s NOT IN ('red', 'blue')", "s in('red')", "s IN ()", "s IN ('red',)", "s IN ('red' 'blue')", "a IN (5)",
        "a IN ('5')", "'a' IN ('a')", "(s) IN ('red')", "(s = 'a') IN ('red')", "5 IN ('5')", "s IN ('a','b','c','d','e','red')",
        "s NOT IN ('a','b','c','d','e','red')", "s IN 'red'", "s IN ('red'", "NOT s IN ('red')", "s IN (red)", "s IN ('it''s')",
        "a IS NULL", "a IS NOT NULL", "a is null", "a IS 5", "a IS NOT 5", "a IS", "a IS NOT", "a IS NULL IS NULL", "a IS NULL IS NOT NULL",
        "a IS NOT NULL AND b IS NULL", "NOT a IS NULL", "NOT (a IS NULL)", "NULL IS NULL", "5 IS NULL", "TRUE IS NOT NULL", "(a > 5) IS NULL",
        "a = NULL", "NULL = a", "a <> NULL", "NULL", "NOT NULL", "NULL OR TRUE", "NULL AND FALSE", "a > NULL", "NULL = NULL",
        "s CONTAINS 'red'", "s NOT CONTAINS 'red'", "s STARTSWITH 'red'", "s NOT STARTSWITH 'red'", "s ENDSWITH 'red'",
        "s NOT ENDSWITH 'red'", "s CONTAINS ''", "s NOT CONTAINS ''", "s STARTSWITH ''", "s NOT STARTSWITH ''", "s ENDSWITH ''",
        "s NOT ENDSWITH ''", "s contains 'red'", "s CONTAINS red", "s CONTAINS 5", "a CONTAINS '5'", "a NOT CONTAINS '5'",
        "'a red rose' CONTAINS 'red'", "5 CONTAINS '5'", "5 NOT CONTAINS '5'", "TRUE CONTAINS 'TRUE'", "NOT s CONTAINS 'red'",
        "NOT (s CONTAINS 'red')", "NOT (s NOT CONTAINS 'red')", "s CONTAINS 'red' CONTAINS 'red'", "(s CONTAINS '') = 5",
        "NOT ((a > b) CONTAINS '')", "NOT ((a > b) CONTAINS 'x')", "s CONTAINS 'ß'", "s ENDSWITH 'ü'", "(s CONTAINS '') > 5",
        "TRUE", "FALSE", "true", "False", "NOT TRUE", "NOT NOT TRUE", "NOT FALSE", "TRUE AND FALSE", "TRUE OR FALSE", "flag = TRUE", "flag = true",
        "flag = FALSE", "flag <> TRUE", "TRUE = flag", "flag", "NOT flag", "a", "(a)", "((a))", "a AND b", "flag AND TRUE", "flag OR TRUE",
        "TRUE = TRUE", "TRUE = FALSE", "TRUE = 5", "5 = TRUE", "TRUE = 'true'", "'true' = TRUE", "5 = 5", "5 = 6", "5 = 5.0", "5 < 6", "5 > 6",
        "'a' = 'a'", "'a' = 'b'", "'5' = 5", "5 = '5'", "'x' = 5", "(a > 5) = (b > 4)", "(a > 5) <> (b > 4)", "(a > 5) = TRUE",
        "TRUE = (a > 5)", "(a > 5) > 4", "(a > 5) = 'x'", "a = b = TRUE", "a = 5 = TRUE", "a <> 5 <> FALSE", "a > 5 > 4", "a = 5 > 4",
        "TRUE > 5", "a > TRUE", "a >= FALSE", "'5' > 4", "5", "'a'", "5.5", "-a", "+a", "-5", "(5)", "5 AND TRUE", "a OR 5", "NOT 5", "NOT 'a'", "NOT -a",
        "a > -1", "a > +5", "a > - 5", "a > --5", "a > -(-5)", "a = -5", "-a = 5", "-a > b", "a > -b", "- - 5 = 5", "-'a' = 'a'", "+'a' = 'a'", "+a = 5",
        "-(a > 5) = 5", "a > -(b > 5)", "a > -TRUE", "-NULL = a", "-TRUE = a",
        "a > 5.", "a > .5", "a > 5.5e1", "a > 5e0", "a > 1E3", "a >= 1e+3", "a >= 1e-3", "a > 1e", "a > e3", "a > 0.0", "a = 0.0", "a > 1e400", "a > 1e-400",
        "a > 1e308", "a > 4.9E-324", "a > 2147483647", "a > 2147483648", "a = 2147483648", "a = 3000000000", "a = 3000000000L", "a = 2147483647L",
        "a > 9223372036854775807", "a = 9223372036854775807", "a > 9223372036854775808", "a > -9223372036854775808", "a = 007", "a = 5abc", "a = 5LL",
        "a = 0L", "a = 0x10", "a = 1.2.3", "a > 5 AND", "a >", "> 5", "a > 5 )", "( a > 5", "()", "", " ", "a b", "a > 5 b", "a > 5 5", "a > 5;", "a ; b", "a > 5 #",
        "AND", "a AND OR b", "a OR AND b", "NOT", "a NOT", "a LIKE 'x'", "s LIKE 'r%'", "s NOT LIKE 'r%'", "a + 5 > 6", "a * 5 > 6", "a / 5 > 1", "a % 5 = 1",
        "a - 5 > 1", "a -5 > 1", "a > 5 - 1", "a > 5 && b = 5", "a > 5 || b = 5", "! a", "a >= = 5", "a > = 5", "a < > 5", "a = > 5", "a => 5", "a =< 5", "a >< 5",
        "a-b = 5", "a.b = 5", "a:b = 5", "a_b IS NULL", "$a IS NULL", "_a IS NULL", "a$1 IS NULL", "1a IS NULL", "@a IS NULL", "größe IS NULL", "`a` = 5",
        "[a] = 5", "{a} = 5", "?", "a = ?", "A = 1", "A IS NULL", "a = 1 -- comment", "a = 5 -- comment\n", "a = 5 -- comment\nAND b = 5", "-- comment\na = 5",
        "a = 5 /* comment */", "/* c */ a /* d */ = /* e * / ** */ 5", "a = 5 /* comment", "a /* ***/ = 5", "a /**/ = 5", "a /*/ = 5", "a = 'x -- y\n'", "a = 5--\n",
        "a > 5 OR b = 5 AND s = 'red'", "(a > 5 OR b = 5) AND s = 'red'", "a > 5 AND b = 5 OR s = 'red'", "NOT a > 5", "NOT (a > 5)", "NOT a = 5",
        "NOT (a = 5)", "NOT (a = 5) AND b = 5", "NOT flag = TRUE", "NOT NOT (a = 5)", "NOT a", "NOT a AND NOT b", "NOT (a > 5) OR NOT (b > 5)",
        "a > 5 OR b > 5", "b > 5 OR a > 5", "a = 'abc' OR a > 5", "a > 5 OR a = 'abc'", "a > 5 AND a = 'abc'", "a = 'x' AND a > 5", "NOT (a > 5 OR b = 5)",
        "NOT (a > 5 AND b = 5)", "a IS NULL OR a > 5", "a IS NOT NULL AND a > 5", "a IS NULL AND b IS NULL", "order = 5", "timestamp IS NULL", "interval IS NULL",
        "select IS NULL", "date = 'x'", "exists IS NULL", "like IS NULL", "escape IS NULL", "null IS NULL", "in IS NULL", "between IS NULL", "contains IS NULL",
        "now IS NULL", "TAGS IS NOT NULL", "nulls IS NULL", "inn IS NULL", "a IN('5')AND b=5", "a>5AND b=5", "a>5 ANDb=5", "a=5OR b=5", "a='5'OR b=5", "NOT(a=5)",
        "(a=5)AND(b=5)", "a=-5", "a>-1AND b=5", "a=5.AND b=5", "a=.5AND b=5", "a\u00a0= 5", "a\u000b= 5", "a\f= 5", "a =\r\n5", "s = 'größe ü'", "s = 'a\tb'", "s = '\n'",
        "((((((((((a = 5))))))))))", "a = (5)", "(a) = (5)", "a = ((b))", "a > (5)", "a > (b)", "a BETWEEN (1) AND (6)", "a BETWEEN (a) AND (b)", "s IN (('red'))", "s CONTAINS ('red')",
    };

    private FilterCases() {
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        System.setOut(System.err);
        out.println("# What the SQL92 filter of rocketmq-filter "
            + MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION).replace("V", "").replace('_', '.') + " makes of messages.");
        out.println("# Made, after `cargo xtask rocketmq prepare`, by:");
        out.println("#   javac -encoding UTF-8 -d target/rocketmq/cases -cp 'target/rocketmq/lib/*' tests/java/FilterCases.java");
        out.println("#   java -cp 'target/rocketmq/cases:target/rocketmq/lib/*' FilterCases > host/gantry-dev-broker/tests/filter/java.txt");
        out.println("# A line with ? is a message's properties. Another is the answer, |, and the expression. An answer has a letter for");
        out.println("# each message: t true, f false, n NULL, e an exception; or it is `refused` by the parser; or `cut` when the parser has");
        out.println("# taken the beginning for the whole and says nothing of the rest. \\n, \\r, \\t, \\f, \\v and \\\\ stand for themselves in Java.");
        for (String message : MESSAGES) {
            out.println("?" + message);
        }
        Set<String> expressions = new LinkedHashSet<>();
        for (String expression : WRITTEN) {
            expressions.add(expression);
        }
        Generator generator = new Generator();
        while (expressions.size() < WRITTEN.length + GENERATED) {
            expressions.add(generator.whole());
        }
        for (String expression : expressions) {
            out.println(answer(expression) + " | " + escaped(expression));
        }
        out.flush();
        System.exit(0);
    }

    private static String answer(String text) {
        BooleanExpression expression;
        boolean cut;
        ComparisonExpression.CONVERT_STRING_EXPRESSIONS.set(true); // as SelectorParser.parse does
        try {
            SelectorParser parser = new SelectorParser(new StringReader(text));
            expression = parser.JmsSelector();
            cut = parser.getToken(1).kind != 0;
        } catch (Throwable refused) {
            return "refused";
        } finally {
            ComparisonExpression.CONVERT_STRING_EXPRESSIONS.remove();
        }
        if (cut) {
            return "cut";
        }
        StringBuilder letters = new StringBuilder();
        for (String message : MESSAGES) {
            letters.append(letter(expression, message));
        }
        return letters.toString();
    }

    private static char letter(BooleanExpression expression, String message) {
        Map<String, String> properties = new HashMap<>();
        for (String pair : message.split(";")) {
            int equals = pair.indexOf('=');
            if (equals > 0 && equals < pair.length() - 1) {
                properties.put(pair.substring(0, equals), pair.substring(equals + 1));
            }
        }
        try {
            Object answer = expression.evaluate(new EvaluationContext() {
                @Override
                public Object get(String name) {
                    return properties.get(name);
                }

                @Override
                public Map<String, Object> keyValues() {
                    return new HashMap<>(properties);
                }
            });
            return answer == null ? 'n' : (Boolean) answer ? 't' : 'f';
        } catch (Throwable thrown) {
            return 'e';
        }
    }

    private static String escaped(String text) {
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t").replace("\f", "\\f")
            .replace("\u000b", "\\v");
    }

    /** Makes expressions from the grammar, most of them sensible. */
    private static final class Generator {
        private static final String[] PROPERTIES = {"a", "b", "s", "flag", "c"};
        private static final String[] NUMBERS = {"5", "5.0", "1000", "3000000000", "6L", "0", "2.5", "1e3", ".5", "2147483648", "-1", "-2.5"};
        private static final String[] TEXTS = {"'red'", "'abc'", "'5'", "''", "'it''s'", "'rose'", "'true'"};
        private static final String[] CONSTANTS = {"TRUE", "FALSE", "NULL"};
        private static final String[] ORDERS = {">", ">=", "<", "<="};
        private static final String[] SEARCHES = {"CONTAINS", "STARTSWITH", "ENDSWITH"};

        private long state = 92;

        private int below(int bound) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            return (int) ((state >>> 33) % bound);
        }

        private String of(String[] choices) {
            return choices[below(choices.length)];
        }

        private String whole() {
            return or(2);
        }

        private String or(int depth) {
            String text = and(depth);
            while (below(4) == 0) {
                text += " OR " + and(depth);
            }
            return text;
        }

        private String and(int depth) {
            String text = comparison(depth);
            while (below(3) == 0) {
                text += " AND " + comparison(depth);
            }
            return text;
        }

        private String comparison(int depth) {
            String left = operand(depth);
            String not = below(3) == 0 ? "NOT " : "";
            switch (below(12)) {
                case 0:
                case 1:
                    return left + " = " + operand(depth);
                case 2:
                    return left + " <> " + operand(depth);
                case 3:
                case 4:
                case 5:
                    return left + " " + of(ORDERS) + " " + number(depth);
                case 6:
                    return left + " " + not + "BETWEEN " + number(depth) + " AND " + number(depth);
                case 7:
                    return of(PROPERTIES) + " " + not + "IN (" + of(TEXTS) + (below(2) == 0 ? "" : ", " + of(TEXTS)) + ")";
                case 8:
                    return left + " IS " + not + "NULL";
                case 9:
                case 10:
                    return left + " " + not + of(SEARCHES) + " " + of(TEXTS);
                default:
                    return left;
            }
        }

        private String number(int depth) {
            return below(3) == 0 ? operand(depth) : of(NUMBERS);
        }

        private String operand(int depth) {
            switch (below(16)) {
                case 0:
                    return of(NUMBERS);
                case 1:
                    return of(TEXTS);
                case 2:
                    return of(CONSTANTS);
                case 3:
                    return "NOT " + operand(depth);
                case 4:
                    return "-" + of(PROPERTIES);
                case 5:
                case 6:
                    return depth > 0 ? "(" + or(depth - 1) + ")" : of(PROPERTIES);
                default:
                    return of(PROPERTIES);
            }
        }
    }
}
