//! `[admin]`: where the admin API listens, and the token it asks for.

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The environment variable that may hold the token.
pub const ADMIN_TOKEN_VARIABLE: &str = "GANTRY_ADMIN_TOKEN";
/// The shortest token taken: shorter ones can be guessed.
const TOKEN_MIN: usize = 16;
/// The longest.
const TOKEN_MAX: usize = 1024;

/// The admin HTTP API.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AdminSettings {
    /// Off with `false`. Default `true`.
    pub enabled: bool,
    /// Its address; port 0 takes a free one. One that is no loopback address takes a token. Default `127.0.0.1:8088`.
    pub listen: SocketAddr,
    /// What requests must bring as `authorization: Bearer TOKEN`, 16 to 1024 printable characters. Default: none, and none
    /// is asked for.
    pub token: Option<Token>,
    /// A file with the token in its place.
    pub token_file: Option<PathBuf>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8088));
        Self { enabled: true, listen, token: None, token_file: None }
    }
}

/// A secret, which no log or error shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token cannot be had, or is none.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file.
    #[error("the admin API's token-file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Too short, too long, or not printable.
    #[error(
        "the admin API's token from {0} is not {TOKEN_MIN} to {TOKEN_MAX} printable characters without spaces; make one with `openssl rand -hex 32`"
    )]
    Unsound(&'static str),
    /// An address that others reach.
    #[error(
        "the admin API on {0} needs a token, because it is no loopback address: set token or token-file under [admin], or {ADMIN_TOKEN_VARIABLE}"
    )]
    Missing(SocketAddr),
}

impl AdminSettings {
    /// The token that is to be asked for: the file's, the configuration's, or what `variable` says of
    /// [`ADMIN_TOKEN_VARIABLE`], in this order.
    ///
    /// # Errors
    /// It cannot be had, or an address that is no loopback address has none.
    pub fn resolve_token(
        &self,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Option<Token>, TokenError> {
        let (token, whence) = match (&self.token_file, &self.token) {
            (Some(path), _) => (Some(read(path)?), "token-file"),
            (None, Some(token)) => (Some(token.clone()), "[admin] token"),
            (None, None) => (
                variable(ADMIN_TOKEN_VARIABLE).filter(|token| !token.is_empty()).map(Token),
                ADMIN_TOKEN_VARIABLE,
            ),
        };
        if token.as_ref().is_some_and(|token| !token.is_sound()) {
            return Err(TokenError::Unsound(whence));
        }
        if token.is_none() && !self.listen.ip().is_loopback() {
            return Err(TokenError::Missing(self.listen));
        }
        Ok(token)
    }

    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let rule = |key: &str, message: String| Err((key.to_owned(), message));
        if self.token.is_some() && self.token_file.is_some() {
            return rule("token-file", "expected token or token-file, not both".into());
        }
        if self.token.as_ref().is_some_and(|token| !token.is_sound()) {
            let message = format!("expected {TOKEN_MIN} to {TOKEN_MAX} printable characters without spaces");
            return rule("token", message);
        }
        let elsewhere = self.token_file.is_some() || std::env::var_os(ADMIN_TOKEN_VARIABLE).is_some();
        if self.enabled && !self.listen.ip().is_loopback() && self.token.is_none() && !elsewhere {
            let message = format!(
                "expected a loopback address such as 127.0.0.1:8088, not {}, where there is no token: set token, token-file or {ADMIN_TOKEN_VARIABLE}",
                self.listen
            );
            return rule("listen", message);
        }
        Ok(())
    }
}

impl Token {
    fn is_sound(&self) -> bool {
        (TOKEN_MIN..=TOKEN_MAX).contains(&self.0.len()) && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

fn read(path: &PathBuf) -> Result<Token, TokenError> {
    let unreadable = |source| TokenError::Unreadable { path: path.clone(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(TOKEN_MAX as u64 * 2).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Token(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn settings(listen: &str) -> AdminSettings {
        AdminSettings { listen: listen.parse().unwrap(), ..AdminSettings::default() }
    }

    #[test]
    fn loopback_needs_no_token_and_any_other_address_does() {
        assert_eq!(settings("127.0.0.1:1").resolve_token(|_| None).unwrap(), None);
        let error = settings("0.0.0.0:1").resolve_token(|_| None).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0:1") && error.contains(ADMIN_TOKEN_VARIABLE), "{error}");
        let token = settings("0.0.0.0:1").resolve_token(|_| Some(TOKEN.into())).unwrap();
        assert_eq!(token, Some(Token(TOKEN.into())));
    }

    #[test]
    fn a_file_goes_over_the_configuration_and_that_over_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{TOKEN}-file\n")).unwrap();
        let mut settings = settings("127.0.0.1:1");
        settings.token = Some(Token(format!("{TOKEN}-config")));
        let resolve =
            |settings: &AdminSettings| settings.resolve_token(|_| Some(TOKEN.into())).unwrap().unwrap();
        assert_eq!(resolve(&settings).0, format!("{TOKEN}-config"));
        settings.token_file = Some(file.path().to_owned());
        assert_eq!(resolve(&settings).0, format!("{TOKEN}-file"));
    }

    #[test]
    fn a_weak_token_is_refused_and_no_token_is_shown() {
        let mut settings = settings("127.0.0.1:1");
        settings.token = Some(Token("secret".into()));
        let error = settings.resolve_token(|_| None).unwrap_err().to_string();
        assert!(error.contains("16 to 1024") && !error.contains("secret"), "{error}");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
