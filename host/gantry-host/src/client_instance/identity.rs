//! Who this client is to the brokers.

use std::net::{IpAddr, Ipv4Addr};
use std::process;

use tokio::net::UdpSocket;

use super::ClientConfig;

/// What tells Gantry hosts from other members of a group, in every default client id.
pub const GANTRY_INSTANCE: &str = "gantry#";

/// Address, process and instance: what client ids and unique keys are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The address this host has on the way to its name servers; loopback when that cannot be learnt.
    pub ip: IpAddr,
    /// The process id, as much of it as a unique key holds.
    pub pid: u16,
    /// Tells instances of one process, and processes with a reused id, apart.
    pub discriminator: u32,
}

impl Identity {
    /// Finds the address by asking the system which way it would go to `peers`; nothing is sent.
    pub(super) async fn towards(peers: &[impl AsRef<str>]) -> Self {
        let mut ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for peer in peers {
            if let Some(found) = local_address(peer.as_ref()).await {
                ip = found;
                break;
            }
        }
        let [.., high, low] = process::id().to_be_bytes();
        Self { ip, pid: u16::from_be_bytes([high, low]), discriminator: fastrand::u32(..) }
    }

    /// The default client id, `ip@gantry#[instance-]<unique>[@unit]` (RocketMQ: ClientConfig.buildMQClientId, with what
    /// its changeInstanceNameToPID does, for named instances too: two with one id would take the same queues).
    pub(super) fn client_id(&self, config: &ClientConfig) -> String {
        let named = config.instance_name.iter().map(|name| format!("{name}-"));
        let unit = config.unit_name.iter().map(|unit| format!("@{unit}"));
        let unique = std::iter::once(format!("{}-{:08x}", process::id(), self.discriminator));
        let instance: String = named.chain(unique).chain(unit).collect();
        format!("{}@{GANTRY_INSTANCE}{instance}", self.ip)
    }
}

async fn local_address(peer: &str) -> Option<IpAddr> {
    let peer = tokio::net::lookup_host(peer).await.ok()?.next()?;
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(peer).await.ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn client_ids_name_the_host_and_differ() {
        let peers = ["127.0.0.1:9876"];
        let (one, two) = (Identity::towards(&peers).await, Identity::towards(&peers).await);
        let config = ClientConfig::default();
        assert!(one.client_id(&config).starts_with("127.0.0.1@gantry#"), "{}", one.client_id(&config));
        assert_ne!(one.client_id(&config), two.client_id(&config));
    }

    #[test]
    fn client_ids_name_the_instance_and_the_unit() {
        let identity = Identity { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), pid: 7, discriminator: 0xab };
        let (instance_name, unit_name) = (Some("orders".to_owned()), Some("unit1".to_owned()));
        let config = ClientConfig { instance_name, unit_name, ..ClientConfig::default() };
        let unique = format!("{}-000000ab", process::id());
        assert_eq!(identity.client_id(&ClientConfig::default()), format!("127.0.0.1@gantry#{unique}"));
        assert_eq!(identity.client_id(&config), format!("127.0.0.1@gantry#orders-{unique}@unit1"));
    }

    /// Equal configuration, many at once, in several processes: what hosts in one process, in containers and after a
    /// fork have in common. The children are this very test.
    #[tokio::test]
    async fn client_ids_are_unique_within_and_among_processes() {
        const CHILD: &str = "GANTRY_TEST_CLIENT_IDS";
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(Identity::towards(&["127.0.0.1:9876"]).await.client_id(&ClientConfig::default()));
        }
        if std::env::var_os(CHILD).is_some() {
            return println!("\n{}", ids.join("\n"));
        }
        for _ in 0..3 {
            let name = "client_instance::identity::tests::client_ids_are_unique_within_and_among_processes";
            let mut child = process::Command::new(std::env::current_exe().unwrap());
            let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            ids.extend(output.lines().filter(|line| line.contains(GANTRY_INSTANCE)).map(str::to_owned));
        }
        assert_eq!(ids.len(), 400);
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), 400);
    }

    #[tokio::test]
    async fn a_peer_that_cannot_be_looked_up_leaves_loopback() {
        let identity = Identity::towards(&["not an address"]).await;
        assert_eq!(identity.ip, IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
}
