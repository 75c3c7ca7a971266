command_header! {
    /// CHECK_TRANSACTION_STATE 39, from the broker, one-way; the body is the prepared message.
    CheckTransactionStateRequestHeader {
        /// The topic of prepared messages, not that of the message.
        topic: Option<String> = "topic",
        /// Queue offset of the prepared message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Commit-log offset of the prepared message.
        commit_log_offset: i64 = "commitLogOffset",
        /// The message's unique key.
        msg_id: Option<String> = "msgId",
        /// The transaction's id.
        transaction_id: Option<String> = "transactionId",
        /// The message's offset id.
        offset_msg_id: Option<String> = "offsetMsgId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }

    /// END_TRANSACTION 37, one-way.
    EndTransactionRequestHeader {
        /// The message's topic.
        topic: Option<String> = "topic",
        /// The producer group.
        producer_group: String = "producerGroup",
        /// Queue offset of the prepared message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Commit-log offset of the prepared message.
        commit_log_offset: i64 = "commitLogOffset",
        /// A TRANSACTION_* value of [`crate::sys_flag`]: commit, rollback, or 0 for unknown.
        commit_or_rollback: i32 = "commitOrRollback",
        /// Whether this answers a check of the broker.
        from_transaction_check: Option<bool> = "fromTransactionCheck",
        /// The message's unique key.
        msg_id: String = "msgId",
        /// The transaction's id.
        transaction_id: Option<String> = "transactionId",
        /// The broker's name.
        broker_name: Option<String> = "bname",
    }
}
