import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByConfig;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Asks RocketMQ's allocation strategies thousands of questions and prints what they answer, for the Rust strategies to be
 * held to. The questions come from a small generator which host/gantry-core/tests/allocation.rs has too.
 */
public final class AllocateCases {
    private static final int CASES = 2000;
    /** Cases whose questions are printed, and cases whose answers are printed; of the others there are hashes. */
    private static final int QUESTIONS = 20;
    private static final int ANSWERS = 300;

    private static final String[] TOPICS = {"orders", "%RETRY%shipping", "a_topic-with_a-longer-name"};
    private static final String[] BROKERS = {"idc2@", "@broker-b", "idc1@broker@c", "idc3@broker-d@", "plain"};

    private AllocateCases() {
    }

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        System.setOut(System.err); // where RocketMQ's logging says how it is set up
        out.println("# What the allocation strategies of rocketmq-client "
            + MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION).replace("V", "").replace('_', '.') + " answer.");
        out.println("# Made, after `cargo xtask rocketmq prepare`, by:");
        out.println("#   javac -d target/rocketmq/cases -cp 'target/rocketmq/lib/*' tests/java/AllocateCases.java");
        out.println("#   java -Duser.home=target/rocketmq/cases -cp 'target/rocketmq/cases:target/rocketmq/lib/*' AllocateCases"
            + " > host/gantry-core/tests/allocation/java.txt");
        out.println("# A line is: case, hash of the question, and the answer of each strategy as positions in the list of queues,");
        out.println("# or as its hash with #, or ! and what was refused. Hashes are the first 32 bits of MD5. The strategies:");
        List<String> names = new ArrayList<>();
        for (AllocateMessageQueueStrategy strategy : new Question(0).strategies()) {
            names.add(strategy.getName());
        }
        out.println(String.join(" | ", names));
        for (int number = 0; number < CASES; number++) {
            Question question = new Question(number);
            if (number < QUESTIONS) {
                out.println("? " + question);
            }
            StringBuilder line = new StringBuilder(number + " " + hash(question.toString()));
            for (AllocateMessageQueueStrategy strategy : question.strategies()) {
                String answer = question.ask(strategy);
                boolean whole = number < ANSWERS || answer.startsWith("!");
                line.append(" | ").append(whole ? answer : "#" + hash(answer));
            }
            out.println(line);
        }
        out.flush();
        System.exit(0);
    }

    private static String hash(String text) throws Exception {
        byte[] digest = MessageDigest.getInstance("MD5").digest(text.getBytes(StandardCharsets.UTF_8));
        return String.format("%032x", new BigInteger(1, digest)).substring(0, 8);
    }

    /** SplitMix64. */
    private static final class Random {
        private long state;

        Random(long seed) {
            state = seed;
        }

        int below(int bound) {
            state += 0x9e3779b97f4a7c15L;
            long z = state;
            z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
            z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
            z = z ^ (z >>> 31);
            return (int) ((z >>> 33) % bound);
        }
    }

    private static final class Question implements AllocateMachineRoomNearby.MachineRoomResolver {
        private final List<MessageQueue> queues = new ArrayList<>();
        private final List<String> members = new ArrayList<>();
        private final TreeSet<String> rooms = new TreeSet<>();
        private final List<MessageQueue> list = new ArrayList<>();
        private final String own;

        Question(int number) {
            Random random = new Random(number);
            addQueues(random);
            addMembers(random);
            for (int room = 1; room <= 4; room++) {
                if (random.below(2) == 0) {
                    rooms.add("idc" + room);
                }
            }
            for (int position = queues.size() - 1; position >= 0; position--) {
                if (random.below(3) == 0) {
                    list.add(queues.get(position));
                }
            }
            if (random.below(10) == 0) {
                list.add(new MessageQueue("another", "broker-z", 7));
            }
            int which = random.below(20);
            String some = members.isEmpty() ? "idc1@nobody" : members.get(random.below(members.size()));
            own = which == 0 ? "" : which <= 2 ? "idc1@stranger" : some;
        }

        private void addQueues(Random random) {
            String topic = TOPICS[random.below(TOPICS.length)];
            int count = random.below(40) == 0 ? 0 : 1 + random.below(64);
            int brokers = 1 + random.below(5);
            int style = random.below(4);
            int[] next = new int[brokers];
            for (int i = 0; i < count; i++) {
                int broker = random.below(brokers);
                String name = style == 0 ? "broker-" + broker
                    : style == 1 ? BROKERS[broker]
                    : "idc" + (1 + broker) + "@broker-" + broker;
                queues.add(new MessageQueue(topic, name, next[broker]++));
            }
            Collections.sort(queues);
        }

        private void addMembers(Random random) {
            int count = random.below(40) == 0 ? 0 : 1 + random.below(40);
            int style = random.below(8);
            for (int i = 0; i < count; i++) {
                String id = "10.0." + random.below(256) + "." + random.below(256) + "@" + (1000 + random.below(60000)) + "#"
                    + (100000000 + random.below(900000000));
                if (style > 1) {
                    id = "idc" + (1 + random.below(4)) + "@worker-" + random.below(100);
                } else if (style == 1) {
                    id = "worker-" + i;
                }
                members.add(id); // workers may come twice
            }
            Collections.sort(members);
        }

        List<AllocateMessageQueueStrategy> strategies() {
            AllocateMessageQueueByConfig config = new AllocateMessageQueueByConfig();
            config.setMessageQueueList(list);
            AllocateMessageQueueByMachineRoom room = new AllocateMessageQueueByMachineRoom();
            room.setConsumeridcs(rooms);
            List<AllocateMessageQueueStrategy> all = new ArrayList<>();
            all.add(new AllocateMessageQueueAveragely());
            all.add(new AllocateMessageQueueAveragelyByCircle());
            all.add(config);
            all.add(room);
            all.add(new AllocateMessageQueueConsistentHash());
            all.add(new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(), this));
            all.add(new AllocateMachineRoomNearby(new AllocateMessageQueueAveragelyByCircle(), this));
            all.add(new AllocateMachineRoomNearby(new AllocateMessageQueueConsistentHash(), this));
            return all;
        }

        String ask(AllocateMessageQueueStrategy strategy) {
            try {
                return positions(strategy.allocate("group", own, queues, members));
            } catch (IllegalArgumentException refusal) {
                String message = refusal.getMessage();
                return message.startsWith("currentCID") ? "!client"
                    : message.startsWith("mqAll") ? "!queues"
                    : message.startsWith("cidAll") ? "!members"
                    : message.startsWith("Machine room is null") ? "!room" : "!" + message;
            }
        }

        private String positions(List<MessageQueue> answer) {
            List<String> positions = new ArrayList<>();
            for (MessageQueue mq : answer) {
                positions.add(String.valueOf(queues.indexOf(mq)));
            }
            return String.join(" ", positions);
        }

        @Override
        public String brokerDeployIn(MessageQueue mq) {
            return beforeAt(mq.getBrokerName());
        }

        @Override
        public String consumerDeployIn(String clientId) {
            return beforeAt(clientId);
        }

        private static String beforeAt(String name) {
            int at = name.indexOf('@');
            return at < 0 ? null : name.substring(0, at);
        }

        @Override
        public String toString() {
            List<String> short_ = new ArrayList<>();
            for (MessageQueue mq : queues) {
                short_.add(mq.getTopic() + "/" + mq.getBrokerName() + "/" + mq.getQueueId());
            }
            return "own " + own + "; rooms " + String.join(",", rooms) + "; list " + positions(list) + "; members "
                + String.join(",", members) + "; queues " + String.join(",", short_);
        }
    }
}
