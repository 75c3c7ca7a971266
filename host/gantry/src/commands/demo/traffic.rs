//! The demo's messages: orders of a shop, most of them fine.

/// One order as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// The message's key.
    pub(super) id: String,
    /// The message's tag.
    pub(super) tag: &'static str,
    /// The message's body.
    pub(super) body: String,
}

/// The `n`th order. Of ten, one waits for its payment, one lacks its amount, one is very large.
pub(super) fn order(n: u64) -> Order {
    let id = format!("A-{n}");
    let (tag, amount) = match n % 10 {
        3 => ("payment-pending", Some(4_990)),
        6 => ("created", None),
        8 => ("paid", Some(2_500_000)),
        even if even % 2 == 0 => ("created", Some(1_000 + n % 900)),
        _ => ("paid", Some(1_000 + n % 900)),
    };
    let amount = amount.map_or_else(String::new, |amount| format!(",\"amount\":{amount}"));
    let body = format!("{{\"id\":\"{id}\",\"status\":\"{tag}\"{amount},\"currency\":\"EUR\"}}");
    Order { id, tag, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_orders_show_every_kind() {
        let tags: Vec<_> = (0..10).map(|n| order(n).tag).collect();
        assert_eq!(tags.iter().filter(|tag| **tag == "payment-pending").count(), 1);
        assert_eq!((0..10).filter(|n| !order(*n).body.contains("amount")).count(), 1);
        assert_eq!(order(7).body, r#"{"id":"A-7","status":"paid","amount":1007,"currency":"EUR"}"#);
    }
}
