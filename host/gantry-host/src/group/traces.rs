//! What becomes of a batch, as traces tell it (RocketMQ: ConsumeMessageTraceHookImpl).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_core::Settlement;
use gantry_engine::{Cause, FailureKind};
use gantry_protocol::MessageExt;
use gantry_protocol::properties::keys;
use gantry_protocol::trace::{ConsumeReturnType, Consumption, DEFAULT_REGION, TraceBody};

/// One message's end, as a trace needs it.
pub(super) struct Ended<'a> {
    pub(super) message: &'a MessageExt,
    /// How often it had come before.
    pub(super) times: i32,
    pub(super) settlement: &'a Settlement,
    pub(super) cause: Option<&'a Cause>,
}

/// The trace of a batch that took so long; none where its messages want none (TRACE_ON).
pub(super) fn consumed<'a>(
    group: &str,
    took: Duration,
    ended: impl ExactSizeIterator<Item = Ended<'a>>,
) -> Option<TraceBody> {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let each = millis.checked_div(ended.len() as u64).unwrap_or(0);
    let request_id = format!("{:032X}", fastrand::u128(..));
    let mut body = TraceBody::default();
    for Ended { message, times, settlement, cause } in ended {
        if message.property(keys::TRACE_SWITCH) == Some("false") {
            continue;
        }
        body.consumed(&Consumption {
            request_id: &request_id,
            message_id: &message.message_id(),
            keys: message.property(keys::KEYS).unwrap_or_default(),
            region: message.property(keys::MSG_REGION).unwrap_or(DEFAULT_REGION),
            group,
            retry_times: times,
            timestamp: now.saturating_sub(millis),
            cost: each,
            code: code(settlement, cause),
        });
    }
    (body.events() > 0).then_some(body)
}

fn code(settlement: &Settlement, cause: Option<&Cause>) -> ConsumeReturnType {
    match (settlement, cause.and_then(Cause::failure)) {
        (Settlement::Success, _) => ConsumeReturnType::Success,
        (_, Some(failure)) if failure.kind() == FailureKind::Deadline => ConsumeReturnType::TimeOut,
        (_, Some(failure)) if failure.kind() == FailureKind::WrongCount => ConsumeReturnType::ReturnNull,
        (_, Some(_)) => ConsumeReturnType::Exception,
        (_, None) => ConsumeReturnType::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_core::RetryDelay;
    use gantry_engine::GuestFailure;

    use super::*;

    #[test]
    fn codes_are_those_of_consume_return_type() {
        let later = Settlement::ReconsumeLater(RetryDelay::ByAttempts);
        let failed = |failure| Cause::FailedAlone(Arc::new(failure));
        let deadline = failed(GuestFailure::Deadline { deadline: Duration::from_secs(1) });
        let trap = failed(GuestFailure::Trap { reason: "unreachable".into(), last_words: None });
        let count = Cause::BatchFailed(Arc::new(GuestFailure::WrongCount { expected: 2, got: 1 }));
        assert_eq!(code(&Settlement::Success, Some(&Cause::Answered)), ConsumeReturnType::Success);
        assert_eq!(code(&later, Some(&Cause::Answered)), ConsumeReturnType::Failed);
        assert_eq!(code(&later, Some(&deadline)), ConsumeReturnType::TimeOut);
        assert_eq!(code(&later, Some(&trap)), ConsumeReturnType::Exception);
        assert_eq!(code(&later, Some(&count)), ConsumeReturnType::ReturnNull);
        assert_eq!(code(&later, None), ConsumeReturnType::Failed);
    }
}
