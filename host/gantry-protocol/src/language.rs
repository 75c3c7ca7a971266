use std::fmt;

/// The language a peer says it is written in (RocketMQ: LanguageCode).
///
/// A number that is not listed is kept as it came; a JSON header with an unlisted name reads as [`Self::OTHER`],
/// which is what brokers accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LanguageCode(pub u8);

macro_rules! languages {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        impl LanguageCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The name that JSON headers carry; `OTHER` for an unlisted number.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "OTHER",
                }
            }

            /// The code of a name as JSON headers carry it; [`Self::OTHER`] for an unlisted name.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $(stringify!($name) => Self::$name,)*
                    _ => Self::OTHER,
                }
            }
        }
    };
}

languages! {
    /// Java, the reference implementation.
    JAVA = 0,
    /// C++. Brokers send such clients another shape of offset resets.
    CPP = 1,
    /// .NET.
    DOTNET = 2,
    /// Python.
    PYTHON = 3,
    /// Delphi.
    DELPHI = 4,
    /// Erlang.
    ERLANG = 5,
    /// Ruby.
    RUBY = 6,
    /// Any other language.
    OTHER = 7,
    /// An HTTP proxy.
    HTTP = 8,
    /// Go.
    GO = 9,
    /// PHP.
    PHP = 10,
    /// OpenMessaging.
    OMS = 11,
    /// Rust: what Gantry sends.
    RUST = 12,
    /// Node.js.
    NODE_JS = 13,
}

impl fmt::Display for LanguageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
