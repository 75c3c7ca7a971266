//! Consumes paid orders, gives each the next number of its currency, and sends it on to the topic that the configuration
//! names. Shows what an operator may grant:
//!
//! ```toml
//! [plugin.enrich]
//! grants = ["producer", "keyvalue", "logging", "metrics"]
//! [plugin.enrich.config]
//! target = "orders-numbered"
//! ```
//!
//! - An order that cannot be read: dead letter, with the reason.
//! - No `target`, a store that is full, a broker that does not answer: reconsumed later. The number that was drawn is then
//!   left out, and the order gets another: numbers tell orders apart and may have gaps.
//! - Any other: sent on, orders of one currency in one queue, and success. One that is delivered twice is sent on twice, as
//!   everything is that leaves before its offset is committed.

use gantry_guest::keyvalue::Bucket;
use gantry_guest::producer::{self, OutgoingMessage, Selector, SendError};
use gantry_guest::{
    Context, Description, Failure, Listener, Message, RetryDelay, config, export_listener, logging, metrics,
};
use orders_model::{Order, Status};
use serde_json::json;

/// The listener.
pub struct Enrich;

impl Listener for Enrich {
    fn describe() -> Description {
        Description::new("enrich", "enrich-group").subscribe("orders", "paid")
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let order = Order::read(message)?;
        if order.status != Status::Paid {
            return Ok(());
        }
        let Some(target) = config::get("target") else {
            logging::error("there is no `target` under [plugin.enrich.config]");
            return Err(Failure::reconsume_later(RetryDelay::ByAttempts));
        };
        let number = Bucket::open("numbers")?.increment(&order.currency, 1)?;
        send(&target, &order, number)?;
        // A figure that is not kept is no reason to take the order again.
        let _kept = metrics::count("orders_numbered", &[("currency", &order.currency)], 1);
        if number % 1000 == 0 {
            logging::info(&format!("{number} orders in {}", order.currency));
        }
        Ok(())
    }
}

fn send(target: &str, order: &Order, number: i64) -> Result<(), Failure> {
    let Order { id, amount, currency, .. } = order;
    let body = json!({ "id": id, "number": number, "amount": amount, "currency": currency });
    let message = OutgoingMessage::new(target, body.to_string()).key(id).tag(currency);
    match producer::send_ordered(&message, &Selector::ByHash, currency) {
        Ok(_) => Ok(()),
        Err(SendError::Invalid(why)) => Err(Failure::dead_letter(why)),
        Err(error) => {
            logging::warn(&format!("order {id}: {error}"));
            Err(error.into())
        }
    }
}

export_listener!(Enrich);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    fn consume(body: &str) -> Result<(), Failure> {
        Enrich::consume(&context("orders"), &MessageBuilder::new(body).build())
    }

    const PAID: &str = r#"{"id":"A-17","status":"paid","amount":1999}"#;

    #[test]
    fn a_paid_order_is_numbered_and_sent_on() {
        config::testing::set("target", "orders-numbered");
        consume(PAID).unwrap();
        consume(PAID).unwrap();
        let sent = producer::testing::sent();
        let body = r#"{"amount":1999,"currency":"EUR","id":"A-17","number":2}"#;
        assert_eq!(sent[1], OutgoingMessage::new("orders-numbered", body).key("A-17").tag("EUR"));
        assert_eq!(metrics::testing::value("orders_numbered", &[("currency", "EUR")]), Some(2.0));
    }

    #[test]
    fn other_orders_are_left_alone() {
        config::testing::set("target", "orders-numbered");
        consume(r#"{"id":"A-17","status":"created","amount":1999}"#).unwrap();
        assert!(matches!(consume("hello"), Err(Failure::DeadLetter(_))));
        assert!(producer::testing::sent().is_empty());
    }

    #[test]
    fn what_may_work_later_is_tried_later() {
        assert!(matches!(consume(PAID), Err(Failure::ReconsumeLater(_))), "no target yet");
        config::testing::set("target", "orders-numbered");
        producer::testing::fail_with(SendError::Timeout);
        assert!(matches!(consume(PAID), Err(Failure::ReconsumeLater(_))));
        producer::testing::fail_with(SendError::Invalid("too long".into()));
        assert_eq!(consume(PAID), Err(Failure::dead_letter("too long")));
        assert_eq!(logging::testing::lines().len(), 2);
    }
}
