//! SQL92 subscriptions are the broker's to read, so it is asked whether it can before they are announced (RocketMQ:
//! MQClientInstance.checkClientInBroker). Pulls under one it cannot read bring nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_core::{FilterExpression, TopicSubscription};
use gantry_protocol::ResponseCode;

use super::requests::subscription_data;
use crate::client_instance::{CallError, ClientInstance};

/// What brokers said of a group's conditions, by topic.
#[derive(Debug, Default)]
pub(super) struct Expressions(Mutex<BTreeMap<Arc<str>, Verdict>>);

#[derive(Debug)]
struct Verdict {
    /// The subscription it is about.
    sub_version: u64,
    /// Why the broker refuses it, if it does.
    refused: Option<String>,
}

impl Expressions {
    /// Asks about each condition that is new. One that could not be asked about is asked about again next time.
    pub(super) async fn check(
        &self,
        client: &ClientInstance,
        group: &str,
        subscriptions: &[Arc<TopicSubscription>],
    ) {
        self.verdicts().retain(|topic, _| subscriptions.iter().any(|known| known.topic == *topic));
        let (namespace, name) = (client.namespace(), &*client.namespace().unwrap(group));
        for subscription in subscriptions {
            let FilterExpression::Sql92(condition) = &subscription.expression else { continue };
            if self.is_known(subscription) {
                continue;
            }
            let answer = client.check_client_config(group, subscription_data(subscription)).await;
            let refused = match answer {
                Ok(()) => None,
                Err(CallError::Refused { code, remark, .. }) if is_verdict(code) => Some(format!(
                    "the broker refuses the SQL92 subscription {condition:?} of topic {}: {remark}; messages of the topic wait until the \
                     plugin's subscription, or [plugin.NAME] subscriptions, is mended",
                    namespace.unwrap(&subscription.topic)
                )),
                Err(error) => {
                    tracing::debug!(group = name, topic = %subscription.topic, %error, "no broker has checked the condition yet");
                    continue;
                }
            };
            if let Some(refused) = &refused {
                tracing::error!(group = name, "{refused}");
            }
            let verdict = Verdict { sub_version: subscription.sub_version, refused };
            self.verdicts().insert(Arc::clone(&subscription.topic), verdict);
        }
    }

    /// Why brokers refuse conditions, a sentence each.
    pub(super) fn refused(&self) -> Vec<String> {
        self.verdicts().values().filter_map(|verdict| verdict.refused.clone()).collect()
    }

    fn is_known(&self, subscription: &TopicSubscription) -> bool {
        let verdicts = self.verdicts();
        verdicts.get(&subscription.topic).is_some_and(|known| known.sub_version == subscription.sub_version)
    }

    fn verdicts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a refusal is about the condition: it does not parse, or the broker does not filter by properties at all
/// (enablePropertyFilter=false).
fn is_verdict(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::SUBSCRIPTION_PARSE_FAILED | ResponseCode::SYSTEM_ERROR)
}
