//! The properties files of name server and broker.

use std::path::Path;

/// One setting after the other, as a Java properties file.
fn properties(settings: &[(&str, String)], more: &[(String, String)]) -> String {
    let own = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let more = more.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(more).map(|(name, value)| format!("{name}={value}\n")).collect()
}

pub(crate) fn name_server(port: u16, directory: &Path) -> String {
    let settings = [
        ("listenPort", port.to_string()),
        ("bindAddress", "127.0.0.1".into()),
        ("kvConfigPath", directory.join("kvConfig.json").display().to_string()),
        ("configStorePath", directory.join("namesrv.properties").display().to_string()),
    ];
    properties(&settings, &[])
}

/// A broker small enough for tests; `more` comes last and so overrides.
pub(crate) fn broker(
    name: &str,
    port: u16,
    name_server: u16,
    store: &Path,
    more: &[(String, String)],
) -> String {
    let settings = [
        ("brokerClusterName", "DefaultCluster".into()),
        ("brokerName", name.to_owned()),
        ("brokerId", "0".into()),
        ("brokerIP1", "127.0.0.1".into()),
        ("brokerIP2", "127.0.0.1".into()),
        ("bindAddress", "127.0.0.1".into()),
        ("listenPort", port.to_string()),
        ("haListenPort", port.saturating_add(1).to_string()),
        ("namesrvAddr", format!("127.0.0.1:{name_server}")),
        ("storePathRootDir", store.display().to_string()),
        ("storePathCommitLog", store.join("commitlog").display().to_string()),
        ("mappedFileSizeCommitLog", "67108864".into()),
        ("mappedFileSizeConsumeQueue", "600000".into()),
        ("maxHashSlotNum", "100000".into()),
        ("maxIndexNum", "400000".into()),
        ("mappedFileSizeTimerLog", "1048576".into()),
        ("timerWheelEnable", "true".into()),
        ("recallMessageEnable", "true".into()),
        ("diskMaxUsedSpaceRatio", "95".into()),
        ("autoCreateTopicEnable", "true".into()),
        ("autoCreateSubscriptionGroup", "true".into()),
        ("defaultTopicQueueNums", "8".into()),
        ("enablePropertyFilter", "true".into()),
        ("traceTopicEnable", "true".into()),
        ("waitTimeMillsInSendQueue", "2000".into()),
        ("osPageCacheBusyTimeOutMills", "5000".into()),
    ];
    properties(&settings, more)
}

/// What makes a broker the slave with this id of the broker that has its name.
pub(crate) fn slave(id: u8) -> Vec<(String, String)> {
    let settings =
        [("brokerId", id.to_string()), ("brokerRole", "SLAVE".into()), ("slaveReadEnable", "true".into())];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

/// What both servers' virtual machines are told, except for the size of their heap.
pub(crate) fn java(home: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Xshare:auto",
        "-XX:MaxMetaspaceSize=160m",
        "-Djava.net.preferIPv4Stack=true",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("-Drocketmq.home.dir={}", home.display()));
    arguments.push(format!("-Duser.home={}", home.display()));
    arguments
}
