import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/** An application of Kafka Streams with exactly-once processing, as README.md says. It runs until it is killed. */
public final class Streams {
    private static final Duration JOIN_WITHIN = Duration.ofSeconds(10);
    private static final Duration COUNTED_WINDOW = Duration.ofMinutes(1);
    /** So long that no record is too late: what is dropped as late depends on how the partitions' records happen to be interleaved. */
    private static final Duration GRACE = Duration.ofDays(1);

    private Streams() {}

    public static void main(String[] args) {
        StreamsBuilder builder = new StreamsBuilder();
        switch (args[0]) {
            case "word-count" -> wordCount(builder);
            case "windowed-join" -> windowedJoin(builder);
            default -> throw new IllegalArgumentException(args[0]);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), config(args));
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("thread died of " + error);
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.start();
    }

    private static Properties config(String[] args) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[0]);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, args[2]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        // Without a cache each update of a table comes out, so that one that is done twice or left out shows.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        // So that records are written while a transaction goes on, not only when it ends (100 ms): what dies leaves some behind that must not count.
        config.put(StreamsConfig.producerPrefix("linger.ms"), 5);
        // Its default is 45 seconds, for which nobody would go on with the partitions of an instance that was killed.
        config.put("session.timeout.ms", 6000);
        config.put("heartbeat.interval.ms", 2000);
        return config;
    }

    private static void wordCount(StreamsBuilder builder) {
        KStream<String, String> lines = builder.stream("linhas");
        KStream<String, String> words = lines.flatMapValues(line -> Arrays.asList(line.split(" ")));
        words.groupBy((key, word) -> word).count(Materialized.as("vezes")).toStream().mapValues(String::valueOf).to("palavras");
    }

    /** Purchases and their authorisations, both by the purchase's number, become invoices, which are counted by shop and minute. */
    private static void windowedJoin(StreamsBuilder builder) {
        KStream<String, String> purchases = builder.stream("compras");
        KStream<String, String> authorisations = builder.stream("autorizacoes");
        JoinWindows together = JoinWindows.ofTimeDifferenceAndGrace(JOIN_WITHIN, GRACE);
        KStream<String, String> invoices = purchases.join(authorisations, (shop, authorisation) -> shop + " " + authorisation, together);
        invoices.to("faturas");
        invoices.groupBy((number, invoice) -> invoice.split(" ")[0])
                .windowedBy(TimeWindows.ofSizeAndGrace(COUNTED_WINDOW, GRACE))
                .count(Materialized.as("por-minuto"))
                .toStream((shop, count) -> shop.key() + " " + shop.window().start())
                .mapValues(String::valueOf)
                .to("faturas-por-minuto");
    }
}
