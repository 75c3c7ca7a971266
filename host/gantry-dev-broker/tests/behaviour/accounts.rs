//! A broker with accounts hears only who signs as one of them.

use gantry_dev_broker::BrokerConfig;
use gantry_protocol::{Credentials, RemotingCommand, RequestCode, ResponseCode};

use crate::client::{broker_with, in_memory};

fn request() -> RemotingCommand {
    RemotingCommand::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO)
}

fn account() -> Credentials {
    Credentials::new("orders", "right-secret")
}

fn signed(credentials: &Credentials) -> RemotingCommand {
    let mut request = request();
    credentials.sign(&mut request);
    request
}

#[tokio::test]
async fn only_who_signs_as_an_account_is_heard() {
    let config = BrokerConfig { accounts: vec![account()], ..in_memory() };
    let (_broker, client) = broker_with(config).await;
    let answer = client.call(signed(&account())).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
    for (refused, why) in [
        (request(), "not signed"),
        (signed(&Credentials::new("nobody", "right-secret")), "no account has the AccessKey nobody"),
        (signed(&Credentials::new("orders", "wrong-secret")), "does not match"),
    ] {
        let answer = client.call(refused).await;
        let remark = answer.remark.clone().unwrap_or_default();
        assert_eq!(answer.response_code(), ResponseCode::NO_PERMISSION, "{remark}");
        assert!(remark.contains(why), "{remark}");
    }
}

#[tokio::test]
async fn without_accounts_signatures_are_not_looked_at() {
    let (_broker, client) = broker_with(in_memory()).await;
    let answer = client.call(signed(&Credentials::new("whoever", "whatever"))).await;
    assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
}
