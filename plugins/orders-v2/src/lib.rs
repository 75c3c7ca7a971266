//! The second version of `plugins/orders`: the same name, group and subscription, other rules.
//!
//! - An order that cannot be read, or has no positive amount: dead letter, with the reason (as before).
//! - `"status": "payment-pending"`: the bank is asked again after a second, twice; then the order is let through, to be
//!   dunned for (version 1 asks at growing delays and then gives the order up).
//! - Any amount above 10,000.00: dead letter, for a person to look at (new).
//! - Any other: success.

use gantry_guest::{Context, Description, Failure, Listener, Message, RetryDelay, export_listener};
use orders_model::{Order, Status};

/// Above this amount, in the currency's smallest unit, a person decides.
const LARGE: u64 = 1_000_000;

/// How often the bank is asked about a payment.
const QUESTIONS: u32 = 2;

/// The listener.
pub struct Orders;

impl Listener for Orders {
    fn describe() -> Description {
        Description::new("orders", "orders-group")
            .subscribe("orders", "created || paid || payment-pending")
            .batch_max_size(32)
            .max_reconsume_times(3)
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let order = Order::read(message)?;
        if order.amount > LARGE {
            let Order { id, amount, currency, .. } = order;
            return Err(Failure::dead_letter(format!(
                "order {id} over {amount} {currency}: a person decides"
            )));
        }
        if order.status == Status::PaymentPending && message.reconsume_times() < QUESTIONS {
            return Err(Failure::reconsume_later(RetryDelay::Level(1)));
        }
        Ok(())
    }
}

export_listener!(Orders);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    fn consume(body: &str, times: u32) -> Result<(), Failure> {
        let message = MessageBuilder::new(body).reconsume_times(times).build();
        Orders::consume(&context("orders"), &message)
    }

    #[test]
    fn a_pending_payment_is_asked_for_twice_and_then_let_through() {
        let pending = r#"{"id":"A-1","status":"payment-pending","amount":1999}"#;
        assert_eq!(consume(pending, 0), Err(Failure::reconsume_later(RetryDelay::Level(1))));
        assert_eq!(consume(pending, 1), Err(Failure::reconsume_later(RetryDelay::Level(1))));
        assert_eq!(consume(pending, 2), Ok(()));
    }

    #[test]
    fn a_large_order_is_set_aside_for_a_person() {
        assert_eq!(consume(r#"{"id":"A-1","status":"paid","amount":1000000}"#, 0), Ok(()));
        assert_eq!(
            consume(r#"{"id":"A-1","status":"paid","amount":1000001,"currency":"CNY"}"#, 0),
            Err(Failure::dead_letter("order A-1 over 1000001 CNY: a person decides"))
        );
    }

    #[test]
    fn what_cannot_be_read_is_dead_lettered_as_before() {
        assert_eq!(
            consume(r#"{"id":"A-1","status":"paid"}"#, 0),
            Err(Failure::dead_letter("an order without amount"))
        );
    }
}
