//! Who may ask: with accounts, only who signs as one of them (RocketMQ: PlainAccessValidator).

use gantry_protocol::{ACCESS_KEY, RemotingCommand, ResponseCode};

use crate::core::{Core, Refusal};

/// Refuses a request that no account signed.
pub(super) fn admit(core: &Core, request: &RemotingCommand) -> Result<(), Refusal> {
    let accounts = &core.config.accounts;
    if accounts.is_empty() {
        return Ok(());
    }
    let refused = |why: String| Refusal::new(ResponseCode::NO_PERMISSION, why);
    let key = request.ext_fields.get(ACCESS_KEY).unwrap_or_default();
    match accounts.iter().find(|account| account.access_key() == key) {
        Some(account) => account.verify(request).map_err(|error| refused(error.to_string())),
        None if key.is_empty() => Err(refused(format!("the request has no {ACCESS_KEY}: it is not signed"))),
        None => Err(refused(format!("no account has the {ACCESS_KEY} {key}"))),
    }
}
