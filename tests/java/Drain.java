import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Apache RocketMQ's Java client as one of the benchmark's consumers: see tests/bench/README.md for what it is told and says. */
public final class Drain {
    private static final AtomicLong COUNT = new AtomicLong();
    private static final AtomicBoolean BEGUN = new AtomicBoolean();
    private static final ConcurrentLinkedQueue<Long> LATENCIES = new ConcurrentLinkedQueue<>();
    private static long wanted;

    private final Map<String, String> settings = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        Drain drain = new Drain();
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            drain.settings.put(pair[0], pair[1]);
        }
        drain.run();
        System.exit(0);
    }

    private boolean has(String name) {
        return settings.containsKey(name);
    }

    private int number(String name) {
        return Integer.parseInt(settings.get(name));
    }

    private void run() throws Exception {
        wanted = Long.parseLong(settings.get("count"));
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(settings.get("group"));
        consumer.setNamesrvAddr(settings.get("namesrv"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        if (has("pull")) {
            consumer.setPullBatchSize(number("pull"));
        }
        if (has("bytes")) {
            consumer.setPullBatchSizeInBytes(number("bytes"));
        }
        if (has("batch")) {
            consumer.setConsumeMessageBatchMaxSize(number("batch"));
        }
        if (has("threshold")) {
            consumer.setPullThresholdForQueue(number("threshold"));
        }
        if (has("span")) {
            consumer.setConsumeConcurrentlyMaxSpan(number("span"));
        }
        if (has("threads")) {
            consumer.setConsumeThreadMin(number("threads"));
            consumer.setConsumeThreadMax(number("threads"));
        }
        boolean timed = has("latency");
        consumer.subscribe(settings.get("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            if (timed) {
                messages.forEach(Drain::time);
            } else {
                add(messages.size());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        System.in.readAllBytes();
        consumer.shutdown();
        System.out.println("{\"event\":\"stopped\",\"count\":" + COUNT.get() + ",\"latencies\":" + List.copyOf(LATENCIES) + "}");
    }

    private static void add(int messages) {
        long before = COUNT.getAndAdd(messages);
        long now = before + messages;
        if (!BEGUN.get() && BEGUN.compareAndSet(false, true)) {
            say("first", now);
        }
        if (before < wanted && now >= wanted) {
            say("end", now);
        }
    }

    private static void say(String event, long count) {
        System.out.println("{\"event\":\"" + event + "\",\"count\":" + count + ",\"at\":" + nanoseconds() + "}");
    }

    /** A message whose body begins with the time 0 only shows that messages arrive. */
    private static void time(MessageExt message) {
        long sent = ByteBuffer.wrap(message.getBody()).getLong();
        if (sent == 0) {
            add(0);
            return;
        }
        LATENCIES.add(nanoseconds() - sent);
        add(1);
    }

    private static long nanoseconds() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000_000L + now.getNano();
    }
}
