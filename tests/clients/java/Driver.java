import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Apache Kafka's own client, driven as ../README.md says. */
public final class Driver {
    private static final Duration DEADLINE = Duration.ofSeconds(60);
    private static final ObjectMapper JSON = new ObjectMapper();
    private final String bootstrap;

    private Driver(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] args) throws Exception {
        Driver driver = new Driver(args[0]);
        switch (args[1]) {
            case "create" -> driver.create(args[2], Integer.parseInt(args[3]), Short.parseShort(args[4]));
            case "produce" -> driver.produce(args[2], args[3]);
            case "consume" -> driver.consume(args[2], args[3], Integer.parseInt(args[4]));
            case "seek" -> driver.seek(new TopicPartition(args[2], Integer.parseInt(args[3])), Long.parseLong(args[4]), Integer.parseInt(args[5]));
            case "load" -> driver.load(args[2], Integer.parseInt(args[3]), Integer.parseInt(args[4]));
            case "member" -> driver.member(args[2], args[3]);
            case "rebalance" -> driver.rebalance(args[2], args[3]);
            default -> throw new IllegalArgumentException(args[1]);
        }
    }

    private Properties config() {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        return config;
    }

    private void create(String topic, int partitions, short replicationFactor) throws Exception {
        try (Admin admin = Admin.create(config())) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, replicationFactor))).all().get();
        }
    }

    private static byte[] bytes(JsonNode text) {
        return text == null || text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    private void produce(String topic, String codec) throws Exception {
        Properties config = config();
        config.put("compression.type", codec);
        config.put("max.request.size", 4 << 20);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
                BufferedReader in = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                JsonNode record = JSON.readTree(line);
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : record.path("headers")) {
                    headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                }
                Long timestamp = record.hasNonNull("timestamp") ? record.get("timestamp").asLong() : null;
                sent.add(producer.send(new ProducerRecord<>(
                        topic, record.get("partition").asInt(), timestamp, bytes(record.get("key")), bytes(record.get("value")), headers)));
            }
            for (Future<RecordMetadata> one : sent) {
                one.get();
            }
        }
    }

    /** Numbered records at a steady rate until standard input ends; a line for each acknowledgement, as it comes. */
    private void load(String topic, int partitions, int perSecond) throws Exception {
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config(), new ByteArraySerializer(), new ByteArraySerializer())) {
            AtomicBoolean ended = new AtomicBoolean();
            Thread input = new Thread(() -> {
                try {
                    System.in.transferTo(OutputStream.nullOutputStream());
                } catch (IOException error) {
                    failure.compareAndSet(null, error);
                }
                ended.set(true);
            });
            input.setDaemon(true);
            input.start();
            long start = System.nanoTime();
            for (long number = 0; !ended.get() && failure.get() == null; ) {
                long due = (System.nanoTime() - start) * perSecond / 1_000_000_000L;
                for (; number < due; number++) {
                    long sent = number;
                    ProducerRecord<byte[], byte[]> record =
                            new ProducerRecord<>(topic, (int) (number % partitions), null, Long.toString(number).getBytes());
                    producer.send(record, (place, error) -> {
                        if (error != null) {
                            failure.compareAndSet(null, error);
                        } else {
                            System.out.println(place.partition() + " " + place.offset() + " " + sent);
                        }
                    });
                }
                Thread.sleep(2);
            }
        }
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Properties config = config();
        if (group != null) {
            config.put("group.id", group);
        }
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        if (System.getenv("CLIENT_RACK") != null) {
            config.put("client.rack", System.getenv("CLIENT_RACK"));
        }
        if (System.getenv("GROUP_INSTANCE_ID") != null) {
            config.put("group.instance.id", System.getenv("GROUP_INSTANCE_ID"));
        }
        if (isPattern()) {
            // As often, a client looks for topics that match.
            config.put("metadata.max.age.ms", "1000");
        }
        if ("consumer".equals(System.getenv("GROUP_PROTOCOL"))) {
            config.put("group.protocol", "consumer");
        } else {
            config.put("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        }
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void until(BooleanSupplier done, Runnable step, String what) {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!done.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new IllegalStateException("gave up waiting for " + what);
            }
            step.run();
        }
    }

    private static void drain(KafkaConsumer<byte[], byte[]> consumer, int count) {
        int[] seen = {0};
        until(() -> seen[0] >= count, () -> consumer.poll(Duration.ofMillis(500)).forEach(record -> {
            ObjectNode line = JSON.createObjectNode();
            line.put("partition", record.partition()).put("offset", record.offset());
            line.put("key", text(record.key())).put("value", text(record.value()));
            ArrayNode headers = line.putArray("headers");
            record.headers().forEach(header -> headers.addArray().add(header.key()).add(text(header.value())));
            line.put("timestamp", record.timestamp());
            System.out.println(line);
            seen[0]++;
        }), count + " records");
    }

    private void consume(String topic, String group, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            drain(consumer, count);
            consumer.commitSync();
        }
    }

    private void seek(TopicPartition place, long offset, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null)) {
            consumer.assign(List.of(place));
            consumer.seek(place, offset);
            drain(consumer, count);
        }
    }

    /** Processes and commits until standard input ends; a line for each record and for each change of what it has. */
    private void member(String topic, String group) {
        AtomicBoolean ended = new AtomicBoolean();
        Thread input = new Thread(() -> {
            try {
                System.in.transferTo(OutputStream.nullOutputStream());
            } catch (IOException error) {
                // The input has ended, too.
            }
            ended.set(true);
        });
        input.setDaemon(true);
        input.start();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(group)) {
            subscribe(consumer, topic);
            for (String before = null; !ended.get(); ) {
                ConsumerRecords<byte[], byte[]> records = next(consumer);
                String held = held(consumer);
                if (!held.equals(before)) {
                    before = held;
                    System.out.println("assigned " + held);
                }
                records.forEach(record -> System.out.println("record " + new String(record.value())));
                if (!records.isEmpty()) {
                    commit(consumer);
                }
            }
        }
    }

    private static boolean isPattern() {
        return System.getenv("SUBSCRIBE") != null;
    }

    private static void subscribe(KafkaConsumer<?, ?> consumer, String topic) {
        if (!isPattern()) {
            consumer.subscribe(List.of(topic));
            return;
        }
        switch (System.getenv("SUBSCRIBE")) {
            case "client-pattern" -> consumer.subscribe(Pattern.compile(topic));
            case "broker-pattern" -> consumer.subscribe(new SubscriptionPattern(topic));
            default -> throw new IllegalArgumentException(System.getenv("SUBSCRIBE"));
        }
    }

    /** What comes next; what the coordinator refuses for good is told before the member fails of it. */
    private static ConsumerRecords<byte[], byte[]> next(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            return consumer.poll(Duration.ofMillis(100));
        } catch (ApiException error) {
            System.out.println("refused " + error.getClass().getSimpleName() + ": " + error.getMessage());
            throw error;
        }
    }

    /** The numbers of a member's partitions, in words; with their topics where it may have several. */
    private static String held(KafkaConsumer<?, ?> consumer) {
        return consumer.assignment().stream()
                .map(place -> isPattern() ? place.toString() : String.valueOf(place.partition()))
                .sorted()
                .collect(Collectors.joining(" "));
    }

    /** A commit that comes too late, or for which there is no coordinator now, is made up for by the next one. */
    private static void commit(KafkaConsumer<?, ?> consumer) {
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RetriableException error) {
            System.out.println("uncommitted " + error);
        }
    }

    private static Set<Integer> assigned(KafkaConsumer<?, ?> consumer) {
        Set<Integer> partitions = new TreeSet<>();
        consumer.assignment().forEach(place -> partitions.add(place.partition()));
        return partitions;
    }

    private static void poll(Collection<? extends KafkaConsumer<?, ?>> consumers) {
        consumers.forEach(consumer -> consumer.poll(Duration.ofMillis(100)));
    }

    private void rebalance(String topic, String group) throws Exception {
        KafkaConsumer<byte[], byte[]> first = consumer(group);
        KafkaConsumer<byte[], byte[]> second = consumer(group);
        int total = first.partitionsFor(topic).size();
        first.subscribe(List.of(topic));
        until(() -> assigned(first).size() == total, () -> poll(List.of(first)), "the first member to have all partitions");
        ObjectNode result = JSON.createObjectNode();
        result.set("alone", JSON.valueToTree(assigned(first)));
        second.subscribe(List.of(topic));
        until(() -> !assigned(second).isEmpty() && assigned(first).size() + assigned(second).size() == total,
                () -> poll(List.of(first, second)), "two members to share the partitions");
        result.set("first", JSON.valueToTree(assigned(first)));
        result.set("second", JSON.valueToTree(assigned(second)));
        first.close();
        until(() -> assigned(second).size() == total, () -> poll(List.of(second)), "the survivor to have all partitions");
        result.set("survivor", JSON.valueToTree(assigned(second)));
        second.close();
        System.out.println(JSON.writeValueAsString(Map.copyOf(JSON.convertValue(result, Map.class))));
    }
}
