//! Signed requests, as RocketMQ's access control wants them (RocketMQ: AclClientRPCHook, AclUtils).
//!
//! A request says who sends it (`AccessKey`, and `SecurityToken` where there is one), and carries a `Signature`: the
//! HMAC-SHA1, in Base64, of the values of all its ext fields in the order of their names, followed by its body.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::RemotingCommand;

/// The ext field with the name of the account.
pub const ACCESS_KEY: &str = "AccessKey";
/// The ext field with the signature.
pub const SIGNATURE: &str = "Signature";
/// The ext field with a temporary account's token.
pub const SECURITY_TOKEN: &str = "SecurityToken";

/// Who a client is to its brokers (RocketMQ: SessionCredentials). Its secret is shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
    security_token: Option<String>,
}

/// Why a request's signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The request names no account.
    #[error("the request has no {ACCESS_KEY}: it is not signed")]
    NoAccessKey,
    /// The request has no signature.
    #[error("the request has no {SIGNATURE}")]
    NoSignature,
    /// The signature is another one than the secret key gives.
    #[error(
        "the {SIGNATURE} does not match: the secret key is another, or the request was changed on the way"
    )]
    Mismatch,
}

impl Credentials {
    /// An account and its secret.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into(), security_token: None }
    }

    /// With the token of a temporary account.
    #[must_use]
    pub fn with_security_token(mut self, token: impl Into<String>) -> Self {
        self.security_token = Some(token.into());
        self
    }

    /// The account's name.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Signs a request as it stands: whatever changes in its ext fields or body afterwards makes the signature void. A
    /// request that was signed before is signed anew.
    pub fn sign(&self, request: &mut RemotingCommand) {
        request.ext_fields.insert(ACCESS_KEY, &self.access_key);
        if let Some(token) = &self.security_token {
            request.ext_fields.insert(SECURITY_TOKEN, token);
        }
        let signature = STANDARD.encode(self.mac(request).finalize().into_bytes());
        request.ext_fields.insert(SIGNATURE, signature);
    }

    /// Whether `request` was signed with this secret, compared in constant time.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verify(&self, request: &RemotingCommand) -> Result<(), SignatureError> {
        request.ext_fields.get(ACCESS_KEY).ok_or(SignatureError::NoAccessKey)?;
        let given = request.ext_fields.get(SIGNATURE).ok_or(SignatureError::NoSignature)?;
        let given = STANDARD.decode(given).map_err(|_not_base64| SignatureError::Mismatch)?;
        self.mac(request).verify_slice(&given).map_err(|_other| SignatureError::Mismatch)
    }

    fn mac(&self, request: &RemotingCommand) -> Hmac<Sha1> {
        let mut fields: Vec<_> = request.ext_fields.iter().filter(|(name, _)| *name != SIGNATURE).collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        let mut mac = keyed(self.secret_key.as_bytes());
        for (_, value) in fields {
            mac.update(value.as_bytes());
        }
        mac.update(&request.body);
        mac
    }
}

/// HMAC takes a key of any length, so the other arm is never taken.
fn keyed(secret: &[u8]) -> Hmac<Sha1> {
    Hmac::new_from_slice(secret).unwrap_or_else(|_any_length_does| Hmac::new(&Default::default()))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestCode;

    fn request() -> RemotingCommand {
        let mut request = RemotingCommand::bare_request(RequestCode(105));
        request.ext_fields.insert("topic", "CapAcl");
        request
    }

    #[test]
    fn the_secret_is_shown_by_nothing() {
        let credentials = Credentials::new("me", "hidden").with_security_token("also hidden");
        assert_eq!(format!("{credentials:?}"), "Credentials { access_key: \"me\", .. }");
    }

    #[test]
    fn a_change_after_signing_is_noticed() {
        let credentials = Credentials::new("me", "secret");
        let mut signed = request();
        credentials.sign(&mut signed);
        assert_eq!(credentials.verify(&signed), Ok(()));
        let mut other_body = signed.clone();
        other_body.body = "x".into();
        assert_eq!(credentials.verify(&other_body), Err(SignatureError::Mismatch));
        let mut other_field = signed.clone();
        other_field.ext_fields.insert("topic", "Other");
        assert_eq!(credentials.verify(&other_field), Err(SignatureError::Mismatch));
        assert_eq!(Credentials::new("me", "other").verify(&signed), Err(SignatureError::Mismatch));
        credentials.sign(&mut other_field);
        assert_eq!(credentials.verify(&other_field), Ok(()), "signed anew");
    }

    #[test]
    fn what_is_not_signed_says_so() {
        let credentials = Credentials::new("me", "secret");
        assert_eq!(credentials.verify(&request()), Err(SignatureError::NoAccessKey));
        let mut unsigned = request();
        unsigned.ext_fields.insert(ACCESS_KEY, "me");
        assert_eq!(credentials.verify(&unsigned), Err(SignatureError::NoSignature));
        unsigned.ext_fields.insert(SIGNATURE, "not base64!");
        assert_eq!(credentials.verify(&unsigned), Err(SignatureError::Mismatch));
    }
}
