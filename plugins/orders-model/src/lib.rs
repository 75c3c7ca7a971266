//! What an order is, as both versions of the orders plugin read it from a message's JSON body.
//!
//! ```json
//! { "id": "A-17", "status": "paid", "amount": 1999, "currency": "EUR" }
//! ```
//!
//! It deliberately does not know what becomes of an order: each version of the plugin has rules of its own.

use gantry_guest::{Failure, Message, OrDeadLetter as _};
use serde::Deserialize;

/// One order that is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The shop's own number.
    pub id: String,
    /// How far it has come.
    pub status: Status,
    /// What is to be paid, in the currency's smallest unit; more than 0.
    pub amount: u64,
    /// ISO 4217, three capital letters.
    pub currency: String,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Placed, nothing else yet.
    Created,
    /// The bank has not answered yet.
    PaymentPending,
    /// Paid.
    Paid,
    /// Called off by the customer.
    Cancelled,
}

/// An order as sent: anything may be missing or out of bounds.
#[derive(Debug, Deserialize)]
struct Sent {
    id: Option<String>,
    status: Status,
    amount: Option<i64>,
    #[serde(default = "euro")]
    currency: String,
}

fn euro() -> String {
    "EUR".into()
}

impl Order {
    /// The order in a message.
    ///
    /// # Errors
    /// [`Failure::DeadLetter`] with what is wrong with it: an order that cannot be read today cannot be read tomorrow.
    pub fn read(message: &Message) -> Result<Self, Failure> {
        let sent: Sent = serde_json::from_slice(message.body()).or_dead_letter("not an order")?;
        let id = sent.id.filter(|id| !id.is_empty()).or_dead_letter("an order without id")?;
        let amount = sent.amount.or_dead_letter("an order without amount")?;
        let amount = u64::try_from(amount).ok().filter(|amount| *amount > 0);
        let amount = amount.or_dead_letter("an order whose amount is not positive")?;
        if sent.currency.len() != 3 || !sent.currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(Failure::dead_letter(format!(
                "an order in {:?}, which is no currency",
                sent.currency
            )));
        }
        Ok(Self { id, status: sent.status, amount, currency: sent.currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_guest::testing::MessageBuilder;

    fn read(body: &str) -> Result<Order, Failure> {
        Order::read(&MessageBuilder::new(body).build())
    }

    #[test]
    fn reads_an_order_in_euro_unless_it_says_otherwise() {
        let order = read(r#"{"id":"A-17","status":"payment-pending","amount":1999,"note":"gift"}"#).unwrap();
        assert_eq!(
            order,
            Order { id: "A-17".into(), status: Status::PaymentPending, amount: 1999, currency: "EUR".into() }
        );
        let order = read(r#"{"id":"A-18","status":"paid","amount":1,"currency":"CNY"}"#).unwrap();
        assert_eq!(order.currency, "CNY");
    }

    #[test]
    fn says_what_is_wrong_with_the_others() {
        let reason = |body| match read(body) {
            Err(Failure::DeadLetter(reason)) => reason,
            other => panic!("{body}: {other:?}"),
        };
        assert!(reason("hello").starts_with("not an order: expected value"));
        assert!(reason(r#"{"id":"A","status":"eaten","amount":1}"#).contains("unknown variant `eaten`"));
        assert!(reason(r#"{"id":"A","status":"paid","amount":"1"}"#).contains("invalid type"));
        assert_eq!(reason(r#"{"status":"paid","amount":1}"#), "an order without id");
        assert_eq!(reason(r#"{"id":"A","status":"paid"}"#), "an order without amount");
        assert_eq!(
            reason(r#"{"id":"A","status":"paid","amount":0}"#),
            "an order whose amount is not positive"
        );
        assert_eq!(
            reason(r#"{"id":"A","status":"paid","amount":5,"currency":"euro"}"#),
            "an order in \"euro\", which is no currency"
        );
    }
}
