/// What a subscription lets through at the broker: hashes of tags (RocketMQ: ExpressionMessageFilter on the
/// consume queue). A hash may collide, so the client compares the tags themselves again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagFilter {
    /// `*`, or nothing.
    All,
    /// Any of these tag hashes, sorted.
    Codes(Vec<i64>),
}

impl TagFilter {
    /// Lets the given tag hashes through.
    pub(crate) fn codes(codes: impl IntoIterator<Item = i64>) -> Self {
        let mut codes: Vec<i64> = codes.into_iter().collect();
        codes.sort_unstable();
        codes.dedup();
        Self::Codes(codes)
    }

    /// Whether a message with this tag hash, 0 for none, passes.
    pub(crate) fn matches(&self, tags: i64) -> bool {
        match self {
            Self::All => true,
            Self::Codes(codes) => codes.binary_search(&tags).is_ok(),
        }
    }
}
