//! What a lite pull consumer reads: topics it subscribes, or queues it is assigned.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_protocol::MessageQueue;

use super::LitePullConsumer;
use super::assignment::{MessageQueueListener, TopicMessageQueueChangeListener, Watched};
use crate::FilterExpression;
use crate::pull_consumer::error::PullConsumerError;
use crate::pull_consumer::puller::Filter;

impl LitePullConsumer {
    /// Subscribes to a topic, of which the consumer then reads its share: members of the group divide its queues among them.
    /// Of a topic that is subscribed already this changes the expression.
    ///
    /// # Errors
    /// The expression names no tag, there is no such topic, or queues were assigned.
    pub async fn subscribe(
        &self,
        topic: &str,
        expression: &FilterExpression,
    ) -> Result<(), PullConsumerError> {
        self.subscribe_for(topic, expression, None).await
    }

    /// As [`Self::subscribe`], with one who is told which queues are this consumer's, whenever that changes.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub async fn subscribe_with_listener(
        &self,
        topic: &str,
        expression: &FilterExpression,
        listener: Arc<dyn MessageQueueListener>,
    ) -> Result<(), PullConsumerError> {
        self.subscribe_for(topic, expression, Some(listener)).await
    }

    async fn subscribe_for(
        &self,
        topic: &str,
        expression: &FilterExpression,
        listener: Option<Arc<dyn MessageQueueListener>>,
    ) -> Result<(), PullConsumerError> {
        self.open()?;
        let filter = Arc::new(Filter::new(expression)?);
        self.shared.client.queues(topic).await?;
        let topic: Arc<str> = topic.into();
        {
            let mut interest = self.shared.interest();
            if !interest.assigned_topics.is_empty() {
                return Err(PullConsumerError::AssignedAndSubscribed);
            }
            interest.filters.insert(Arc::clone(&topic), filter);
            interest.subscribed.insert(topic, listener);
        }
        self.membership.subscribe(self.shared.subscriptions()?).await?;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Reads a topic no longer, and gives its queues up.
    ///
    /// # Errors
    /// The consumer was shut down.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), PullConsumerError> {
        self.open()?;
        {
            let mut interest = self.shared.interest();
            interest.subscribed.remove(topic);
            interest.filters.remove(topic);
        }
        self.shared.assign(Some(topic), &[]).await;
        self.membership.subscribe(self.shared.subscriptions()?).await
    }

    /// Reads exactly these queues from now on, whoever else does. Queues that stay are read on from where they are.
    ///
    /// # Errors
    /// Topics were subscribed, or the topic of a queue is not there.
    pub async fn assign(&self, queues: &[MessageQueue]) -> Result<(), PullConsumerError> {
        self.open()?;
        let topics: BTreeSet<_> = queues.iter().map(|mq| Arc::clone(&mq.topic)).collect();
        for topic in &topics {
            self.shared.client.queues(topic).await?;
        }
        {
            let mut interest = self.shared.interest();
            if !interest.subscribed.is_empty() {
                return Err(PullConsumerError::AssignedAndSubscribed);
            }
            interest.assigned_topics = topics;
        }
        self.shared.assign(None, queues).await;
        self.membership.subscribe(self.shared.subscriptions()?).await
    }

    /// Sets which messages of a topic are wanted whose queues are assigned (`setSubExpressionForAssign`); holds from the next
    /// pull on. Default: all.
    ///
    /// # Errors
    /// The expression names no tag, or topics were subscribed.
    pub fn set_sub_expression_for_assign(
        &self,
        topic: &str,
        expression: &FilterExpression,
    ) -> Result<(), PullConsumerError> {
        let filter = Arc::new(Filter::new(expression)?);
        let mut interest = self.shared.interest();
        if !interest.subscribed.is_empty() {
            return Err(PullConsumerError::AssignedAndSubscribed);
        }
        interest.filters.insert(topic.into(), filter);
        Ok(())
    }

    /// Has one told whenever a topic's queues change (`registerTopicMessageQueueChangeListener`). One listener a topic.
    ///
    /// # Errors
    /// There is no such topic, or no name server answers.
    pub async fn register_topic_message_queue_change_listener(
        &self,
        topic: &str,
        listener: Arc<dyn TopicMessageQueueChangeListener>,
    ) -> Result<(), PullConsumerError> {
        let queues = self.shared.client.refreshed_queues(topic).await?;
        self.shared.interest().watched.insert(topic.into(), Watched { listener, queues });
        Ok(())
    }
}
