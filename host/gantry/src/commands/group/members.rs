//! Who is in a group.

use std::process::ExitCode;

use gantry_protocol::body::ConsumerConnection;
use serde_json::{Value, json};

use super::OneGroupArgs;
use crate::commands::cluster::with_client;
use crate::commands::exit::unknown_group;
use crate::commands::print_json;
use crate::commands::table::{Table, left, right};

pub(crate) async fn members(args: OneGroupArgs) -> anyhow::Result<ExitCode> {
    let online = with_client(&args.cluster, async |client| {
        let group = &*client.namespace().wrap(&args.group);
        let mut online = client.group_connection(group).await?;
        if online.is_none() && !client.group_exists(group).await? {
            return Err(unknown_group(&args.group).into());
        }
        for subscription in online.iter_mut().flat_map(|online| online.subscription_table.values_mut()) {
            subscription.topic = client.namespace().unwrap(&subscription.topic).into_owned();
        }
        Ok(online)
    })
    .await?;
    match (online, args.json) {
        (online, true) => print_json(&as_json(&args.group, online.as_ref()))?,
        (Some(online), false) => print(&online),
        (None, false) => say!("no member of group {} is online", args.group),
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(group: &str, online: Option<&ConsumerConnection>) -> Value {
    let Some(online) = online else {
        return json!({ "group": group, "members": [], "subscriptions": [] });
    };
    let members: Vec<_> = online
        .connection_set
        .iter()
        .map(|member| {
            json!({
                "clientId": member.client_id,
                "clientAddress": member.client_addr,
                "language": member.language,
                "version": member.version,
            })
        })
        .collect();
    let subscriptions: Vec<_> = online
        .subscription_table
        .values()
        .map(|subscription| {
            json!({
                "topic": subscription.topic,
                "expression": subscription.sub_string,
                "expressionType": subscription.expression_type,
            })
        })
        .collect();
    json!({
        "group": group,
        "consumeType": online.consume_type.as_str(),
        "messageModel": online.message_model.as_str(),
        "consumeFromWhere": online.consume_from_where.as_str(),
        "members": members,
        "subscriptions": subscriptions,
    })
}

fn print(online: &ConsumerConnection) {
    let mut table = Table::new([left("CLIENT ID"), left("ADDRESS"), left("LANGUAGE"), right("VERSION")]);
    let mut members: Vec<_> = online.connection_set.iter().collect();
    members.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    for member in members {
        table.row([
            member.client_id.clone(),
            member.client_addr.clone(),
            member.language.clone(),
            member.version.to_string(),
        ]);
    }
    table.print();
    say!();
    let mut table = Table::new([left("SUBSCRIBED TOPIC"), left("EXPRESSION"), left("TYPE")]);
    for subscription in online.subscription_table.values() {
        table.row([
            subscription.topic.clone(),
            subscription.sub_string.clone(),
            subscription.expression_type.clone(),
        ]);
    }
    table.print();
    say!();
    say!("{}, {}, {}", online.consume_type, online.message_model, online.consume_from_where);
}
