//! A list of name servers, one of which has to answer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gantry_protocol::RemotingCommand;

use crate::{
    client::Client,
    error::{NameServerListError, NameServersError},
};

/// Reads a list such as `10.0.0.1:9876;10.0.0.2:9876` (RocketMQ's `namesrvAddr`). Commas separate as well, spaces
/// and empty entries do not matter, repeated addresses count once.
///
/// # Errors
/// The list is empty, or an entry is not `host:port`.
pub fn parse_addresses(list: &str) -> Result<Vec<Arc<str>>, NameServerListError> {
    let mut addresses: Vec<Arc<str>> = Vec::new();
    for entry in list.split([';', ',']).map(str::trim).filter(|entry| !entry.is_empty()) {
        if !is_host_and_port(entry) {
            return Err(NameServerListError::BadAddress { entry: entry.to_owned() });
        }
        if !addresses.iter().any(|known| &**known == entry) {
            addresses.push(entry.into());
        }
    }
    if addresses.is_empty() { Err(NameServerListError::Empty) } else { Ok(addresses) }
}

fn is_host_and_port(entry: &str) -> bool {
    let Some((host, port)) = entry.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain =
        !host.is_empty() && !host.contains([':', '/', '[', ']', '@']) && !host.contains(char::is_whitespace);
    (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Asks one name server, and the next when that one does not answer. All of them know the same.
#[derive(Clone, Debug)]
pub struct NameServers {
    client: Client,
    list: Arc<Mutex<List>>,
}

#[derive(Debug)]
struct List {
    addresses: Arc<[Arc<str>]>,
    /// Which one to ask first: the one that answered last.
    preferred: usize,
}

impl List {
    /// The first to be asked is picked at random, so that many hosts with one list spread over it.
    fn new(addresses: Vec<Arc<str>>) -> Self {
        Self { preferred: fastrand::usize(..addresses.len().max(1)), addresses: addresses.into() }
    }
}

impl NameServers {
    /// Name servers at `addresses`, over the connections of `client`; none for a list that is to come. The first to be asked
    /// is picked at random, so that many hosts with one list spread over it.
    pub fn new(client: Client, addresses: Vec<Arc<str>>) -> Self {
        Self { client, list: Arc::new(Mutex::new(List::new(addresses))) }
    }

    /// The whole list.
    pub fn addresses(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.list().addresses)
    }

    /// The one that is asked first.
    pub fn preferred(&self) -> Option<Arc<str>> {
        let list = self.list();
        list.addresses.get(list.preferred).cloned()
    }

    /// Takes another list, for calls that begin from now on. The one that answered last is asked first still, if it is in
    /// it. Returns those that are not in the list any more; none, too, when it has the same ones.
    pub fn replace(&self, addresses: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let mut list = self.list();
        let same = addresses.len() == list.addresses.len()
            && addresses.iter().all(|addr| list.addresses.contains(addr));
        if same {
            return Vec::new();
        }
        let preferred = list.addresses.get(list.preferred);
        let kept = preferred.and_then(|preferred| addresses.iter().position(|addr| addr == preferred));
        let next = List::new(addresses);
        let former =
            std::mem::replace(&mut *list, List { preferred: kept.unwrap_or(next.preferred), ..next });
        former.addresses.iter().filter(|addr| !list.addresses.contains(addr)).cloned().collect()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the name server that answered last, then the others in turn, and returns the first answer, whatever its
    /// code says. `timeout` bounds each of them.
    ///
    /// # Errors
    /// None of them answered, or there is none; the error says why, for each.
    pub async fn invoke(
        &self,
        command: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, NameServersError> {
        let (addresses, first) = {
            let list = self.list();
            (Arc::clone(&list.addresses), list.preferred)
        };
        let mut attempts = Vec::new();
        for (at, addr) in addresses.iter().enumerate().cycle().skip(first).take(addresses.len()) {
            match self.client.invoke(addr, command.clone(), timeout).await {
                Ok(answer) => {
                    let mut list = self.list();
                    if Arc::ptr_eq(&list.addresses, &addresses) {
                        list.preferred = at;
                    }
                    return Ok(answer);
                }
                Err(error) => attempts.push(error),
            }
        }
        Err(NameServersError { attempts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &str) -> Vec<String> {
        parse_addresses(list).unwrap().iter().map(|addr| addr.to_string()).collect()
    }

    #[test]
    fn lists_are_separated_by_semicolons_or_commas() {
        assert_eq!(parsed("a:9876;b:9877"), ["a:9876", "b:9877"]);
        assert_eq!(parsed(" a:9876 , b:9877 ;; a:9876 "), ["a:9876", "b:9877"]);
        assert_eq!(parsed("[::1]:9876"), ["[::1]:9876"]);
    }

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(parse_addresses(" ; "), Err(NameServerListError::Empty));
    }

    #[test]
    fn an_entry_that_is_not_host_and_port_is_named() {
        for entry in
            ["a", "a:", ":9876", "a:0", "a:65536", "http://a:9876", "::1:9876", "a b:1", "[]:1", "a:x"]
        {
            let error = parse_addresses(&format!("ok:1;{entry}")).unwrap_err();
            assert_eq!(error, NameServerListError::BadAddress { entry: entry.to_owned() });
        }
    }
}
