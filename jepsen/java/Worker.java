import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Apache Kafka's own client for a workload: a request a line on standard input, an answer a line on standard output; src/workload/java.rs speaks to it. */
public final class Worker implements ConsumerRebalanceListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final Properties common = new Properties();
    private final boolean idempotent;
    private final boolean autoCommit;
    private final String group;
    private final int sendMs;
    private final int requestMs;
    private final int pollMs;
    private final int pollMax;
    private final int transactionMs;
    private final String transactionalId;
    private final Set<String> rebalanced = new HashSet<>();
    private KafkaProducer<String, String> producer;
    private KafkaConsumer<String, String> consumer;

    private Worker(String[] args) {
        common.put("bootstrap.servers", args[0]);
        common.put("reconnect.backoff.max.ms", "1000");
        common.put("socket.connection.setup.timeout.ms", "2000");
        group = args[1];
        idempotent = Boolean.parseBoolean(args[2]);
        autoCommit = Boolean.parseBoolean(args[3]);
        sendMs = Integer.parseInt(args[4]);
        requestMs = Integer.parseInt(args[5]);
        pollMs = Integer.parseInt(args[6]);
        pollMax = Integer.parseInt(args[7]);
        transactionMs = Integer.parseInt(args[8]);
        transactionalId = args.length > 9 ? args[9] : null;
    }

    public static void main(String[] args) throws Exception {
        Worker worker = new Worker(args);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                worker.serve(JSON.readTree(line), answer);
            } catch (Exception error) {
                answer.removeAll();
                answer.put("error", error.toString());
            }
            ArrayNode rebalanced = answer.putArray("rebalanced");
            worker.rebalanced.forEach(rebalanced::add);
            worker.rebalanced.clear();
            System.out.println(answer);
            System.out.flush();
        }
        // Whoever closes the input is done with the group, too; there is nobody left to wait for.
        Runtime.getRuntime().halt(0);
    }

    private void serve(JsonNode request, ObjectNode answer) {
        switch (request.get("do").asText()) {
            case "send" -> send(request.get("records"), answer.putArray("sent"));
            case "poll" -> poll(answer.putObject("records"));
            case "assign" -> assign(request.get("from"));
            case "subscribe" -> {
                List<String> topics = new ArrayList<>();
                request.get("topics").forEach(topic -> topics.add(topic.asText()));
                consumer().subscribe(topics, this);
            }
            case "begin" -> begin();
            case "end" -> end(request.get("commit").asBoolean(), offsets(request.get("offsets")), answer);
            case "commit" -> consumer().commitSync(offsets(request.get("offsets")), Duration.ofMillis(sendMs));
            case "committed" -> {
                Set<TopicPartition> partitions = new HashSet<>();
                request.get("of").forEach(place -> partitions.add(partition(place)));
                ObjectNode offsets = answer.putObject("offsets");
                consumer().committed(partitions, Duration.ofMillis(requestMs)).forEach((partition, offset) -> {
                    if (offset != null) {
                        offsets.put(partition.toString(), offset.offset());
                    }
                });
            }
            default -> throw new IllegalArgumentException(request.toString());
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> rebalanced.add(partition.toString()));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        onPartitionsAssigned(partitions);
    }

    private static TopicPartition partition(JsonNode place) {
        return new TopicPartition(place.get(0).asText(), place.get(1).asInt());
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets(JsonNode places) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        places.forEach(place -> offsets.put(partition(place), new OffsetAndMetadata(place.get(2).asLong())));
        return offsets;
    }

    private void begin() {
        try {
            producer().beginTransaction();
        } catch (RuntimeException error) {
            dropProducer();
            throw error;
        }
    }

    /** What is neither committed nor aborted is ended by whoever takes the transactional id over. */
    private void end(boolean commit, Map<TopicPartition, OffsetAndMetadata> offsets, ObjectNode answer) {
        if (producer == null) {
            answer.put("outcome", "fail").put("why", "the producer is gone");
            return;
        }
        boolean asked = false;
        try {
            if (!commit) {
                producer.abortTransaction();
                answer.put("outcome", "fail").put("why", "aborted");
                return;
            }
            if (!offsets.isEmpty()) {
                producer.sendOffsetsToTransaction(offsets, consumer().groupMetadata());
            }
            asked = true;
            producer.commitTransaction();
            answer.put("outcome", "ok");
        } catch (RuntimeException error) {
            // After a time-out the commit may still be on its way.
            boolean inDoubt = asked && (error instanceof TimeoutException || !aborted());
            answer.put("outcome", inDoubt ? "info" : "fail").put("why", error.toString());
            dropProducer();
        }
    }

    private boolean aborted() {
        try {
            producer.abortTransaction();
            return true;
        } catch (RuntimeException error) {
            return false;
        }
    }

    private void dropProducer() {
        if (producer != null) {
            producer.close(Duration.ZERO);
            producer = null;
        }
    }

    private void send(JsonNode records, ArrayNode sent) {
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        List<String> refusals = new ArrayList<>();
        for (JsonNode record : records) {
            TopicPartition place = partition(record);
            try {
                futures.add(producer().send(new ProducerRecord<>(place.topic(), place.partition(), null, record.get(2).asText())));
                refusals.add(null);
            } catch (RuntimeException error) {
                futures.add(null);
                refusals.add(error.toString());
            }
        }
        boolean failed = false;
        for (int at = 0; at < futures.size(); at++) {
            if (futures.get(at) == null) {
                sent.add(refusals.get(at));
                failed = true;
                continue;
            }
            try {
                RecordMetadata place = futures.get(at).get();
                sent.add(place.hasOffset() ? place.offset() : -1);
            } catch (ExecutionException | InterruptedException error) {
                sent.add(error.toString());
                failed = true;
            }
        }
        if (failed) {
            dropProducer();
        }
    }

    private void poll(ObjectNode records) {
        for (ConsumerRecord<String, String> record : consumer().poll(Duration.ofMillis(pollMs))) {
            records.withArray("/" + record.topic() + "-" + record.partition()).addArray().add(record.offset()).add(Long.parseLong(record.value()));
        }
    }

    private void assign(JsonNode from) {
        Map<TopicPartition, Long> places = new HashMap<>();
        from.forEach(place -> places.put(partition(place), place.get(2).isNull() ? null : place.get(2).asLong()));
        consumer().unsubscribe();
        consumer().assign(places.keySet());
        List<TopicPartition> fromStart = new ArrayList<>();
        places.forEach((partition, offset) -> {
            if (offset == null) {
                fromStart.add(partition);
            } else {
                consumer().seek(partition, offset);
            }
        });
        if (!fromStart.isEmpty()) {
            consumer().seekToBeginning(fromStart);
        }
    }

    private KafkaProducer<String, String> producer() {
        if (producer == null) {
            Properties config = new Properties();
            config.putAll(common);
            config.put("enable.idempotence", Boolean.toString(idempotent));
            config.put("acks", "all");
            config.put("linger.ms", "0");
            config.put("request.timeout.ms", Integer.toString(requestMs));
            config.put("delivery.timeout.ms", Integer.toString(sendMs));
            config.put("max.block.ms", Integer.toString(sendMs));
            if (!idempotent) {
                // Or the client itself would write duplicates, and out of order.
                config.put("retries", "0");
            }
            if (transactionalId != null) {
                config.put("transactional.id", transactionalId);
                config.put("transaction.timeout.ms", Integer.toString(transactionMs));
            }
            producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
            if (transactionalId != null) {
                producer.initTransactions();
            }
        }
        return producer;
    }

    private KafkaConsumer<String, String> consumer() {
        if (consumer == null) {
            Properties config = new Properties();
            config.putAll(common);
            config.put("group.id", group);
            config.put("enable.auto.commit", Boolean.toString(autoCommit));
            config.put("auto.commit.interval.ms", "1000");
            config.put("auto.offset.reset", "earliest");
            config.put("isolation.level", "read_committed");
            config.put("allow.auto.create.topics", "false");
            config.put("fetch.max.wait.ms", "100");
            config.put("session.timeout.ms", "6000");
            config.put("heartbeat.interval.ms", "1000");
            config.put("max.poll.records", Integer.toString(pollMax));
            config.put("default.api.timeout.ms", Integer.toString(sendMs));
            config.put("request.timeout.ms", Integer.toString(sendMs));
            consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        }
        return consumer;
    }
}
