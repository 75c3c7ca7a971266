//! Consumes the topic `orders`, tags `created`, `paid` and `payment-pending`, in batches of up to 32.
//!
//! - An order that cannot be read, or has no positive amount: dead letter, with the reason.
//! - `"status": "payment-pending"`: the bank is asked again after 1 s, 5 s and 10 s; then the order is a dead letter.
//! - Any other: success.

use gantry_guest::{Context, Description, Failure, Listener, Message, RetryDelay, export_listener};
use orders_model::{Order, Status};

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
        if order.status == Status::PaymentPending {
            // Levels 1, 2, 3: 1 s, 5 s, 10 s.
            let level = u8::try_from(message.reconsume_times()).unwrap_or(u8::MAX).saturating_add(1);
            return Err(Failure::reconsume_later(RetryDelay::Level(level)));
        }
        Ok(())
    }
}

export_listener!(Orders);

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::{MessageBuilder, context};

    fn consume(body: &str) -> Result<(), Failure> {
        Orders::consume(&context("orders"), &MessageBuilder::new(body).build())
    }

    #[test]
    fn a_pending_payment_is_asked_for_at_growing_delays() {
        let pending = r#"{"id":"A-1","status":"payment-pending","amount":1999}"#;
        let again = |times| {
            let message = MessageBuilder::new(pending).reconsume_times(times).build();
            Orders::consume(&context("orders"), &message)
        };
        assert_eq!(again(1), Err(Failure::reconsume_later(RetryDelay::Level(2))));
        assert_eq!(again(2), Err(Failure::reconsume_later(RetryDelay::Level(3))));
    }

    #[test]
    fn the_content_of_an_order_decides() {
        assert_eq!(consume(r#"{"id":"A-1","status":"paid","amount":1999}"#), Ok(()));
        assert_eq!(consume(r#"{"id":"A-1","status":"created","amount":1999}"#), Ok(()));
        assert_eq!(
            consume(r#"{"id":"A-1","status":"payment-pending","amount":1999}"#),
            Err(Failure::reconsume_later(RetryDelay::Level(1)))
        );
        assert_eq!(
            consume(r#"{"id":"A-1","status":"paid"}"#),
            Err(Failure::dead_letter("an order without amount"))
        );
    }
}
