import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONArray;
import com.alibaba.fastjson2.JSONObject;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.admin.ConsumeStats;
import org.apache.rocketmq.remoting.protocol.admin.OffsetWrapper;
import org.apache.rocketmq.remoting.protocol.body.Connection;
import org.apache.rocketmq.remoting.protocol.body.ConsumerRunningInfo;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.CommandUtil;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Apache RocketMQ's Java client as a child process: one JSON object per line, requests on standard input, events on
 * standard output. The first argument is the role, {@code consumer} or {@code client}, the others are {@code name=value}.
 * It ends when its standard input does.
 */
public final class GantryDriver {
    private static final PrintStream EVENTS = System.out;
    private static final int READ_AT_ONCE = 256;
    /** For the first questions of a program that is still loading its classes, on a machine that is busy. */
    private static final int PATIENCE_MILLIS = 30_000;

    /** Where consumed messages are written down, if not told as events. */
    private static FileOutputStream ledger;

    private final Map<String, String> settings = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        System.setOut(System.err); // whatever else prints must not look like an event
        GantryDriver driver = new GantryDriver();
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            driver.settings.put(pair[0], pair[1]);
        }
        if (arguments[0].equals("consumer") && driver.setting("listener", "").equals("poll")) {
            driver.poller();
        } else if (arguments[0].equals("consumer")) {
            driver.consumer();
        } else {
            driver.client();
        }
        System.exit(0);
    }

    private static synchronized void emit(JSONObject event) {
        EVENTS.println(event.toJSONString());
        EVENTS.flush();
    }

    private static JSONObject event(String name) {
        return JSONObject.of("event", name);
    }

    private String setting(String name, String otherwise) {
        return settings.getOrDefault(name, otherwise);
    }

    /** Who the client is to brokers and to others of its namespace. */
    private void identify(ClientConfig client) {
        if (settings.containsKey("namespace")) {
            client.setNamespace(settings.get("namespace"));
        }
        client.setNamespaceV2(settings.get("namespaceV2"));
        client.setUseHeartbeatV2(Boolean.parseBoolean(setting("heartbeatV2", "false")));
    }

    private interface Handler {
        /** Answers a request; null ends the program. */
        JSONObject handle(JSONObject request) throws Exception;
    }

    private static void serve(Handler handler) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JSONObject answer;
            try {
                answer = handler.handle(JSON.parseObject(line));
            } catch (Exception e) {
                answer = event("failed");
                answer.put("reason", e.toString());
            }
            if (answer == null) {
                return;
            }
            emit(answer);
        }
    }

    // ---- a push consumer, member of a group ----

    private void consumer() throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(settings.get("group"));
        consumer.setNamesrvAddr(settings.get("namesrv"));
        identify(consumer);
        consumer.setClientIP(setting("clientIP", "127.0.0.1"));
        consumer.setInstanceName(setting("instance", "java"));
        begin(consumer, setting("from", "first"));
        consumer.setConsumeMessageBatchMaxSize(Integer.parseInt(setting("batch", "1")));
        consumer.setMaxReconsumeTimes(Integer.parseInt(setting("maxReconsumeTimes", "-1")));
        consumer.setVipChannelEnabled(false);
        consumer.setMqClientApiTimeout(PATIENCE_MILLIS);
        // What the listener has consumed is answered before it leaves.
        consumer.setAwaitTerminationMillisWhenShutdown(PATIENCE_MILLIS);
        if (settings.containsKey("sql")) {
            consumer.subscribe(settings.get("topic"), MessageSelector.bySql(settings.get("sql")));
        } else {
            consumer.subscribe(settings.get("topic"), setting("tags", "*"));
        }
        long pause = Long.parseLong(setting("pauseMillis", "0"));
        long spread = Long.parseLong(setting("pauseSpreadMillis", "0"));
        if (settings.containsKey("threads")) {
            int threads = Integer.parseInt(settings.get("threads"));
            consumer.setConsumeThreadMin(threads);
            consumer.setConsumeThreadMax(threads);
        }
        if (settings.containsKey("ledger")) {
            ledger = new FileOutputStream(settings.get("ledger"), true);
        }
        int retryLevel = Integer.parseInt(setting("retryLevel", "0"));
        if (setting("model", "clustering").equals("broadcasting")) {
            consumer.setMessageModel(MessageModel.BROADCASTING);
        }
        if (settings.containsKey("popping")) {
            pop(consumer);
        }
        if (settings.containsKey("replying")) {
            replier = new DefaultMQProducer("gantry-driver-replier");
            replier.setNamesrvAddr(settings.get("namesrv"));
            replier.setInstanceName(setting("instance", "java") + "-replier");
            replier.setVipChannelEnabled(false);
            replier.setMqClientApiTimeout(PATIENCE_MILLIS);
            replier.start();
        }
        if (setting("listener", "concurrently").equals("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) ->
                givenBack(messages, pause, spread) ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT
                    : ConsumeOrderlyStatus.SUCCESS);
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                context.setDelayLevelWhenNextConsume(retryLevel);
                return givenBack(messages, pause, spread) ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                    : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        JSONObject started = event("started");
        started.put("clientId", consumer.buildMQClientId());
        emit(started);
        serve(request -> {
            switch (request.getString("op")) {
                case "queues": {
                    JSONObject answer = event("queues");
                    answer.put("queues", queues(consumer));
                    return answer;
                }
                case "pending": {
                    JSONObject answer = event("pending");
                    answer.put("pending", consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
                        .getProcessQueueTable().values().stream().mapToLong(queue -> queue.getMsgCount().get()).sum());
                    return answer;
                }
                case "quit":
                    consumer.shutdown();
                    emit(event("stopped"));
                    return null;
                default:
                    throw new IllegalArgumentException("no such op: " + request);
            }
        });
    }

    // ---- a lite pull consumer, member of a group ----

    private void poller() throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(settings.get("group"));
        consumer.setNamesrvAddr(settings.get("namesrv"));
        consumer.setClientIP(setting("clientIP", "127.0.0.1"));
        consumer.setInstanceName(setting("instance", "java"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setVipChannelEnabled(false);
        consumer.setMqClientApiTimeout(PATIENCE_MILLIS);
        consumer.subscribe(settings.get("topic"), setting("tags", "*"));
        consumer.start();
        JSONObject started = event("started");
        started.put("clientId", consumer.buildMQClientId());
        emit(started);
        Thread polling = new Thread(() -> {
            while (consumer.isRunning()) {
                for (MessageExt message : consumer.poll(500)) {
                    JSONObject consumed = message(message);
                    consumed.put("event", "consumed");
                    emit(consumed);
                }
            }
        });
        polling.setDaemon(true);
        polling.start();
        serve(request -> {
            switch (request.getString("op")) {
                case "queues": {
                    JSONArray queues = new JSONArray();
                    for (MessageQueue queue : new TreeSet<>(consumer.assignment())) {
                        queues.add(queue(queue));
                    }
                    return JSONObject.of("event", "queues", "queues", queues);
                }
                case "quit":
                    consumer.commit();
                    consumer.shutdown();
                    emit(event("stopped"));
                    return null;
                default:
                    throw new IllegalArgumentException("no such op: " + request);
            }
        });
    }

    /** Has the broker allocate, and the group pop its topic. */
    private void pop(DefaultMQPushConsumer consumer) throws Exception {
        consumer.setClientRebalance(false);
        DefaultMQAdminExt admin = new DefaultMQAdminExt(30_000);
        admin.setNamesrvAddr(settings.get("namesrv"));
        admin.setInstanceName(setting("instance", "java") + "-admin");
        admin.start();
        for (String cluster : admin.examineBrokerClusterInfo().getClusterAddrTable().keySet()) {
            for (String master : CommandUtil.fetchMasterAddrByClusterName(admin, cluster)) {
                admin.setMessageRequestMode(master, settings.get("topic"), settings.get("group"),
                    MessageRequestMode.POP, 0, PATIENCE_MILLIS);
            }
        }
        admin.shutdown();
    }

    /** Answers request messages, if it was told to. */
    private static DefaultMQProducer replier;

    private static void answer(MessageExt message) {
        try {
            byte[] body = ("re: " + new String(message.getBody(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8);
            replier.send(MessageUtil.createReplyMessage(message, body), PATIENCE_MILLIS);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** Where it begins without an offset: {@code first}, {@code last}, or milliseconds, of which Java keeps whole seconds. */
    private static void begin(DefaultMQPushConsumer consumer, String from) {
        switch (from) {
            case "first":
                consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
                break;
            case "last":
                consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
                break;
            default:
                consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_TIMESTAMP);
                consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(Long.parseLong(from)));
        }
    }

    private static JSONArray queues(DefaultMQPushConsumer consumer) {
        Set<MessageQueue> owned = new TreeSet<>(
            consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet());
        JSONArray queues = new JSONArray();
        for (MessageQueue queue : owned) {
            queues.add(queue(queue));
        }
        return queues;
    }

    private static JSONObject queue(MessageQueue queue) {
        return JSONObject.of("topic", queue.getTopic(), "broker", queue.getBrokerName(), "queueId", queue.getQueueId());
    }

    /** A body that begins with "later" is given back the first time; all else succeeds. */
    private static boolean givenBack(List<MessageExt> messages, long pause, long spread) {
        try {
            Thread.sleep(pause + ThreadLocalRandom.current().nextLong(spread + 1));
        } catch (InterruptedException e) {
            return true;
        }
        boolean later = false;
        for (MessageExt message : messages) {
            if (ledger == null) {
                if (replier != null) {
                    answer(message);
                }
                JSONObject consumed = message(message);
                consumed.put("event", "consumed");
                emit(consumed);
            }
            boolean first = message.getReconsumeTimes() == 0
                && new String(message.getBody(), StandardCharsets.UTF_8).startsWith("later");
            if (ledger != null && !first) {
                writeDown(message);
            }
            later |= first;
        }
        return later;
    }

    /**
     * A line of the suite's ledger: when it was consumed and stored, in microseconds; its queue, 9999 for one that came
     * back; the number at the end of its body.
     */
    private static void writeDown(MessageExt message) {
        Instant now = Instant.now();
        String body = new String(message.getBody(), StandardCharsets.UTF_8);
        String line = String.format("%016d %016d %04d %010d\n", now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000,
            message.getStoreTimestamp() * 1_000, message.getReconsumeTimes() > 0 ? 9999 : message.getQueueId(),
            Long.parseLong(body.substring(body.lastIndexOf(' ') + 1)));
        synchronized (ledger) {
            try {
                ledger.write(line.getBytes(StandardCharsets.US_ASCII));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private static JSONObject message(MessageExt message) {
        JSONObject shown = new JSONObject();
        shown.put("topic", message.getTopic());
        shown.put("broker", message.getBrokerName());
        shown.put("queueId", message.getQueueId());
        shown.put("offset", message.getQueueOffset());
        shown.put("msgId", message.getMsgId());
        shown.put("keys", message.getKeys());
        shown.put("tags", message.getTags());
        shown.put("reconsumeTimes", message.getReconsumeTimes());
        shown.put("storeTimestamp", message.getStoreTimestamp());
        shown.put("body", new String(message.getBody(), StandardCharsets.UTF_8));
        shown.put("properties", new JSONObject(message.getProperties()));
        JSONObject more = new JSONObject();
        more.put("bodyHash", hash(message.getBody()));
        more.put("bodyLength", message.getBody().length);
        more.put("bodyCrc", message.getBodyCRC());
        more.put("flag", message.getFlag());
        more.put("sysFlag", message.getSysFlag());
        more.put("bornTimestamp", message.getBornTimestamp());
        more.put("bornHost", host(message.getBornHost()));
        more.put("storeHost", host(message.getStoreHost()));
        more.put("physicalOffset", message.getCommitLogOffset());
        more.put("offsetMsgId", message instanceof MessageClientExt ? ((MessageClientExt) message).getOffsetMsgId()
            : message.getMsgId());
        shown.put("more", more);
        return shown;
    }

    private static String host(SocketAddress address) {
        InetSocketAddress host = (InetSocketAddress) address;
        return host.getAddress().getHostAddress() + ":" + host.getPort();
    }

    /** FNV-1a, of 64 bits. */
    private static String hash(byte[] bytes) {
        long hash = 0xCBF29CE484222325L;
        for (byte b : bytes) {
            hash = (hash ^ (b & 0xFF)) * 0x100000001B3L;
        }
        return String.format("%016x", hash);
    }

    // ---- a producer and administrator ----

    private DefaultMQProducer producer;
    private DefaultMQAdminExt admin;
    private DefaultMQPullConsumer reader;

    private void client() throws Exception {
        producer = new DefaultMQProducer("gantry-driver-producer");
        producer.setNamesrvAddr(settings.get("namesrv"));
        identify(producer);
        producer.setVipChannelEnabled(false);
        producer.setMqClientApiTimeout(PATIENCE_MILLIS);
        producer.setSendMsgTimeout(PATIENCE_MILLIS);
        producer.setRetryTimesWhenSendFailed(5);
        producer.start();
        admin = new DefaultMQAdminExt(30_000);
        admin.setNamesrvAddr(settings.get("namesrv"));
        admin.setInstanceName("gantry-driver-admin");
        admin.start();
        emit(event("started"));
        serve(this::administer);
    }

    private JSONObject administer(JSONObject request) throws Exception {
        switch (request.getString("op")) {
            case "send":
                return send(request);
            case "sendBatch":
                return sendBatch(request);
            case "sendMany":
                return sendMany(request);
            case "transact":
                return transact(request);
            case "checks":
                return checks();
            case "request":
                return request(request);
            case "recall": {
                JSONObject recalled = event("recalled");
                recalled.put("msgId", producer.recallMessage(request.getString("topic"), request.getString("handle")));
                return recalled;
            }
            case "createTopic":
                return createTopic(request);
            case "createGroup":
                return createGroup(request);
            case "deleteTopic":
                admin.deleteTopicInBroker(new HashSet<>(masters()), request.getString("topic"));
                admin.deleteTopicInNameServer(nameServers(), request.getString("topic"));
                return event("done");
            case "progress":
                return progress(request);
            case "members":
                return members(request);
            case "runningInfo":
                return runningInfo(request);
            case "consumeStatus":
                return consumeStatus(request);
            case "resetOffset":
                admin.resetOffsetByTimestamp(request.getString("topic"), request.getString("group"),
                    request.getLongValue("timestamp"), true);
                return event("done");
            case "read":
                return read(request);
            case "poll":
                return poll(request);
            case "mqadmin":
                return mqadmin(request);
            case "quit":
                admin.shutdown();
                producer.shutdown();
                if (poller != null) {
                    poller.shutdown(); // which writes what was committed
                }
                if (transactions != null) {
                    transactions.shutdown();
                }
                emit(event("stopped"));
                return null;
            default:
                throw new IllegalArgumentException("no such op: " + request);
        }
    }

    private Set<String> nameServers() {
        return new HashSet<>(admin.getNameServerAddressList());
    }

    private Set<String> masters() throws Exception {
        Set<String> masters = new HashSet<>();
        for (String cluster : admin.examineBrokerClusterInfo().getClusterAddrTable().keySet()) {
            masters.addAll(CommandUtil.fetchMasterAddrByClusterName(admin, cluster));
        }
        return masters;
    }

    private static Message outgoing(JSONObject request, String keys, String body) {
        byte[] bytes = request.containsKey("bodyBase64") ? Base64.getDecoder().decode(request.getString("bodyBase64"))
            : body.getBytes(StandardCharsets.UTF_8);
        Message message = new Message(request.getString("topic"), request.getString("tags"), keys, bytes);
        message.setFlag(request.getIntValue("flag"));
        if (request.getIntValue("delayLevel") > 0) {
            message.setDelayTimeLevel(request.getIntValue("delayLevel"));
        }
        if (request.containsKey("delayMillis")) {
            message.setDelayTimeMs(request.getLongValue("delayMillis"));
        }
        if (request.containsKey("deliverAt")) {
            message.setDeliverTimeMs(request.getLongValue("deliverAt"));
        }
        JSONObject properties = request.getJSONObject("properties");
        if (properties != null) {
            // Unchecked, as Java's own interceptors put them: an empty value among them.
            properties.forEach((name, value) -> MessageAccessor.putProperty(message, name, value.toString()));
        }
        return message;
    }

    private JSONObject send(JSONObject request) throws Exception {
        Message message = outgoing(request, request.getString("keys"), request.getString("body"));
        if (request.containsKey("compression")) {
            producer.setCompressType(CompressionType.of(request.getString("compression")));
        }
        Integer queueId = request.getInteger("queueId");
        SendResult result = queueId == null ? producer.send(message)
            : producer.send(message, (queues, m, wanted) -> queues.stream()
                .filter(queue -> queue.getQueueId() == (Integer) wanted).findFirst().orElseThrow(), queueId);
        return sent(result);
    }

    /** Messages of one topic together, into one queue. */
    private JSONObject sendBatch(JSONObject request) throws Exception {
        List<Message> batch = new ArrayList<>();
        for (Object one : request.getJSONArray("messages")) {
            JSONObject message = (JSONObject) one;
            batch.add(outgoing(message, message.getString("keys"), message.getString("body")));
        }
        return sent(producer.send(batch));
    }

    private static JSONObject sent(SendResult result) {
        JSONObject sent = event("sent");
        sent.put("recallHandle", result.getRecallHandle());
        sent.put("status", result.getSendStatus().name());
        sent.put("msgId", result.getMsgId());
        sent.put("offsetMsgId", String.valueOf(result.getOffsetMsgId()));
        sent.put("broker", result.getMessageQueue().getBrokerName());
        sent.put("queueId", result.getMessageQueue().getQueueId());
        sent.put("offset", result.getQueueOffset());
        return sent;
    }

    private TransactionMQProducer transactions;
    /** What is answered when the broker asks, by body; and how often it has asked. */
    private final Map<String, LocalTransactionState> later = new ConcurrentHashMap<>();
    private final Map<String, Integer> checked = new ConcurrentHashMap<>();

    /** Sends a message in a transaction that ends with {@code state}, and with {@code whenAsked} if the broker asks. */
    private JSONObject transact(JSONObject request) throws Exception {
        if (transactions == null) {
            transactions = new TransactionMQProducer("gantry-driver-transactions");
            transactions.setNamesrvAddr(settings.get("namesrv"));
            transactions.setInstanceName("gantry-driver-transactions");
            transactions.setVipChannelEnabled(false);
            transactions.setMqClientApiTimeout(PATIENCE_MILLIS);
            transactions.setSendMsgTimeout(PATIENCE_MILLIS);
            transactions.setTransactionListener(new TransactionListener() {
                @Override
                public LocalTransactionState executeLocalTransaction(Message message, Object state) {
                    return (LocalTransactionState) state;
                }

                @Override
                public LocalTransactionState checkLocalTransaction(MessageExt message) {
                    String body = new String(message.getBody(), StandardCharsets.UTF_8);
                    checked.merge(body, 1, Integer::sum);
                    return later.getOrDefault(body, LocalTransactionState.UNKNOW);
                }
            });
            transactions.start();
        }
        if (request.containsKey("whenAsked")) {
            later.put(request.getString("body"), state(request.getString("whenAsked")));
        }
        Message message = outgoing(request, request.getString("keys"), request.getString("body"));
        return sent(transactions.sendMessageInTransaction(message, state(request.getString("state"))));
    }

    private static LocalTransactionState state(String name) {
        switch (name) {
            case "commit":
                return LocalTransactionState.COMMIT_MESSAGE;
            case "rollback":
                return LocalTransactionState.ROLLBACK_MESSAGE;
            default:
                return LocalTransactionState.UNKNOW;
        }
    }

    private JSONObject checks() {
        JSONObject answer = event("checks");
        answer.put("checks", new JSONObject(checked));
        return answer;
    }

    /** Sends a request message and waits for its reply. */
    private JSONObject request(JSONObject request) throws Exception {
        Message message = outgoing(request, request.getString("keys"), request.getString("body"));
        Message reply = producer.request(message, request.getLongValue("timeoutMillis"));
        JSONObject answer = event("reply");
        answer.put("body", new String(reply.getBody(), StandardCharsets.UTF_8));
        return answer;
    }

    /** {@code count} messages with keys and bodies {@code <prefix>-0}, {@code <prefix>-1} and so on, in batches, queue after queue. */
    private JSONObject sendMany(JSONObject request) throws Exception {
        int count = request.getIntValue("count");
        String prefix = request.getString("prefix");
        for (int next = 0; next < count; ) {
            List<Message> batch = new ArrayList<>();
            for (; next < count && batch.size() < Math.max(1, request.getIntValue("batch")); next++) {
                batch.add(outgoing(request, prefix + "-" + next, prefix + "-" + next));
            }
            if (batch.size() == 1) {
                producer.send(batch.get(0));
            } else {
                producer.send(batch);
            }
        }
        JSONObject done = event("done");
        done.put("count", count);
        return done;
    }

    private JSONObject createTopic(JSONObject request) throws Exception {
        int queues = request.getIntValue("queues");
        TopicConfig config = new TopicConfig(request.getString("topic"), queues, queues);
        for (String master : masters()) {
            admin.createAndUpdateTopicConfig(master, config);
        }
        return event("done");
    }

    private JSONObject createGroup(JSONObject request) throws Exception {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(request.getString("group"));
        if (request.containsKey("retryMaxTimes")) {
            config.setRetryMaxTimes(request.getIntValue("retryMaxTimes"));
        }
        for (String master : masters()) {
            admin.createAndUpdateSubscriptionGroupConfig(master, config);
        }
        return event("done");
    }

    private JSONObject progress(JSONObject request) throws Exception {
        ConsumeStats stats = admin.examineConsumeStats(request.getString("group"));
        JSONArray queues = new JSONArray();
        for (Map.Entry<MessageQueue, OffsetWrapper> entry : stats.getOffsetTable().entrySet()) {
            JSONObject queue = queue(entry.getKey());
            queue.put("brokerOffset", entry.getValue().getBrokerOffset());
            queue.put("consumerOffset", entry.getValue().getConsumerOffset());
            queues.add(queue);
        }
        JSONObject answer = event("progress");
        answer.put("queues", queues);
        return answer;
    }

    private JSONObject members(JSONObject request) throws Exception {
        JSONArray members = new JSONArray();
        for (Connection connection : admin.examineConsumerConnectionInfo(request.getString("group")).getConnectionSet()) {
            members.add(connection.getClientId());
        }
        JSONObject answer = event("members");
        answer.put("members", members);
        return answer;
    }

    private JSONObject runningInfo(JSONObject request) throws Exception {
        ConsumerRunningInfo info = admin.getConsumerRunningInfo(
            request.getString("group"), request.getString("clientId"), false);
        JSONArray queues = new JSONArray();
        for (MessageQueue queue : info.getMqTable().keySet()) {
            queues.add(queue(queue));
        }
        JSONObject answer = event("runningInfo");
        answer.put("queues", queues);
        answer.put("text", info.formatString());
        return answer;
    }

    /** Where each member is, or the one named, by its own word; mqadmin has no command for it. */
    private JSONObject consumeStatus(JSONObject request) throws Exception {
        JSONArray queues = new JSONArray();
        admin.getConsumeStatus(request.getString("topic"), request.getString("group"), request.getString("clientId"))
            .forEach((clientId, offsets) -> offsets.forEach((queue, offset) -> {
                JSONObject shown = queue(queue);
                shown.put("clientId", clientId);
                shown.put("offset", offset);
                queues.add(shown);
            }));
        JSONObject answer = event("consumeStatus");
        answer.put("queues", queues);
        return answer;
    }

    /** Every message a topic has, such as a dead-letter topic, from its first to its last. */
    private JSONObject read(JSONObject request) throws Exception {
        if (reader == null) {
            reader = new DefaultMQPullConsumer("gantry-driver-reader");
            reader.setNamesrvAddr(settings.get("namesrv"));
            reader.setInstanceName("gantry-driver-reader");
            reader.setVipChannelEnabled(false);
            reader.setMqClientApiTimeout(PATIENCE_MILLIS);
            reader.setConsumerPullTimeoutMillis(PATIENCE_MILLIS);
            reader.start();
        }
        JSONArray messages = new JSONArray();
        for (MessageQueue queue : reader.fetchSubscribeMessageQueues(request.getString("topic"))) {
            long offset = reader.minOffset(queue);
            long end = reader.maxOffset(queue);
            while (offset < end) {
                PullResult pulled = reader.pull(queue, "*", offset, READ_AT_ONCE);
                if (pulled.getPullStatus() == PullStatus.FOUND) {
                    pulled.getMsgFoundList().forEach(found -> messages.add(message(found)));
                }
                offset = Math.max(offset + 1, pulled.getNextBeginOffset());
            }
        }
        JSONObject answer = event("read");
        answer.put("messages", messages);
        return answer;
    }

    private DefaultLitePullConsumer poller;

    /** At least so many messages of a topic as a group's only member, by poll(); what was polled is committed. */
    private JSONObject poll(JSONObject request) throws Exception {
        if (poller == null) {
            poller = new DefaultLitePullConsumer(request.getString("group"));
            poller.setNamesrvAddr(settings.get("namesrv"));
            poller.setInstanceName("gantry-driver-poller");
            poller.setVipChannelEnabled(false);
            poller.setMqClientApiTimeout(PATIENCE_MILLIS);
            poller.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
            poller.setAutoCommit(false);
            poller.subscribe(request.getString("topic"), "*");
            poller.start();
        }
        JSONArray messages = new JSONArray();
        for (int tries = 0; tries < 120 && messages.size() < request.getIntValue("count"); tries++) {
            poller.poll(1_000).forEach(found -> messages.add(message(found)));
        }
        poller.commit();
        JSONObject answer = event("read");
        answer.put("messages", messages);
        return answer;
    }

    private JSONObject mqadmin(JSONObject request) {
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream before = System.out;
        PrintStream errors = System.err;
        PrintStream both = new PrintStream(said, true);
        System.setOut(both);
        System.setErr(both); // where it prints what went wrong
        try {
            System.setProperty("rocketmq.namesrv.addr", settings.get("namesrv"));
            MQAdminStartup.main0(request.getJSONArray("arguments").toArray(new String[0]), null);
        } finally {
            System.setOut(before);
            System.setErr(errors);
        }
        JSONObject answer = event("mqadmin");
        answer.put("text", said.toString());
        return answer;
    }
}
