//! Consumes the topic `orders`, tags `created`, `paid` and `payment-pending`, in batches of up to 32.
//!
//! - An order that cannot be read, or has no positive amount: dead letter, with the reason.
//! - `"status": "payment-pending"`: reconsume later, on RocketMQ's own schedule.
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
    }

    fn consume(_: &Context, message: &Message) -> Result<(), Failure> {
        let order = Order::read(message)?;
        if order.status == Status::PaymentPending {
            return Err(Failure::reconsume_later(RetryDelay::ByAttempts));
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
    fn the_content_of_an_order_decides() {
        assert_eq!(consume(r#"{"id":"A-1","status":"paid","amount":1999}"#), Ok(()));
        assert_eq!(consume(r#"{"id":"A-1","status":"created","amount":1999}"#), Ok(()));
        assert_eq!(
            consume(r#"{"id":"A-1","status":"payment-pending","amount":1999}"#),
            Err(Failure::reconsume_later(RetryDelay::ByAttempts))
        );
        assert_eq!(
            consume(r#"{"id":"A-1","status":"paid"}"#),
            Err(Failure::dead_letter("an order without amount"))
        );
    }
}
