//! Sends in every way there is: `cargo run --example producer -- TOPIC [NAME_SERVER]`.
#![allow(clippy::print_stdout, reason = "what was sent is the program's output")]

use std::error::Error;
use std::time::Duration;

use gantry_host::client_instance::{
    ClientConfig, ClientInstance, Delay, OutgoingMessage, Producer, ProducerConfig, SelectMessageQueueByHash,
    SendReceipt,
};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let topic = arguments.next().ok_or("name a topic")?;
    let name_servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = ClientInstance::start(ClientConfig { name_servers, ..ClientConfig::default() }).await?;
    let config = ProducerConfig { group: "producer-example".to_owned(), ..ProducerConfig::default() };
    let sent = send(&Producer::new(client.clone(), config), &topic).await;
    client.close().await;
    sent
}

async fn send(producer: &Producer, topic: &str) -> Result<(), Box<dyn Error>> {
    let message = OutgoingMessage::new(topic, "hello").with_tag("greeting").with_key("hello-1");
    tell("awaited", &producer.send(&message).await?);
    producer.send_one_way(&message).await?;

    // The same order, the same queue: what is awaited before the next stays in its order.
    for step in ["made", "paid", "sent"] {
        let message = OutgoingMessage::new(topic, step).with_key("order-7");
        tell(step, &producer.send_by(&SelectMessageQueueByHash, "order-7", &message).await?);
    }

    let batch: Vec<_> = (0..3).map(|number| OutgoingMessage::new(topic, format!("batch {number}"))).collect();
    tell("batch", &producer.send_batch(&batch).await?);

    // Many at once: the producer lets so many be under way as its configuration says.
    let mut sends = JoinSet::new();
    for number in 0..100 {
        let (producer, message) =
            (producer.clone(), OutgoingMessage::new(topic, format!("at once {number}")));
        sends.spawn(async move { producer.send(&message).await });
    }
    while let Some(sent) = sends.join_next().await {
        sent??;
    }

    let later = OutgoingMessage::new(topic, "later").with_delay(Delay::Level(3));
    tell("in 10 s", &producer.send(&later).await?);
    let never = OutgoingMessage::new(topic, "never").with_delay(Delay::Millis(60_000));
    if let Some(handle) = producer.send(&never).await?.recall_handle {
        match producer.recall(topic, &handle).await {
            Ok(message_id) => println!("recalled {message_id}"),
            Err(error) => println!("not recalled: {error}"),
        }
    }

    let question = OutgoingMessage::new(topic, "is anybody there?");
    match producer.request(&question, Duration::from_secs(3)).await {
        Ok(reply) => println!("reply: {:?}", reply.body()?),
        Err(error) => println!("no reply: {error}"),
    }
    Ok(())
}

fn tell(what: &str, receipt: &SendReceipt) {
    println!("{what}: {} in {} at {}", receipt.message_id, receipt.queue, receipt.queue_offset);
}
