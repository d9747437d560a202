import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * The jobs of the bench on Kafka Streams, exactly once; it runs until it is told to end.
 *
 * Streams BOOTSTRAP APPLICATION SOURCE TARGET copy|filter|reduce memory|rocksdb [SETTING=VALUE]...
 */
public class Streams {
    /** What the jobs need of an item; the rest is skipped while it is parsed. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Item {
        public String country;
        public int user;
        public double amount;
    }

    private static final ObjectReader ITEMS = new ObjectMapper().readerFor(Item.class);

    private static Item parse(byte[] value) {
        try {
            return ITEMS.readValue(value);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static void main(String[] args) {
        String source = args[2], target = args[3], job = args[4], store = args[5];
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        for (int i = 6; i < args.length; i++) {
            String[] setting = args[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }

        StreamsBuilder builder = new StreamsBuilder();
        KStream<byte[], byte[]> all = builder.stream(source, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KStream<byte[], byte[]> out = switch (job) {
            case "copy" -> all;
            // what passes is passed on as the bytes that came: nothing is written as JSON again
            case "filter" -> all.filter((key, value) -> "SE".equals(parse(value).country));
            // only user and amount go through the topic between, in binary
            case "reduce" -> all.map((key, value) -> {
                        Item item = parse(value);
                        return KeyValue.pair(item.user, item.amount);
                    })
                    .groupByKey(Grouped.with("by-user", Serdes.Integer(), Serdes.Double()))
                    .reduce(Double::sum, Materialized.<Integer, Double>as(store.equals("memory")
                                    ? Stores.inMemoryKeyValueStore("sums")
                                    : Stores.persistentKeyValueStore("sums"))
                            .withKeySerde(Serdes.Integer())
                            .withValueSerde(Serdes.Double()))
                    .toStream()
                    .map((user, sum) -> KeyValue.pair(bytes(user.toString()), bytes("{\"amount\":" + sum + "}")));
            default -> throw new IllegalArgumentException(job);
        };
        out.to(target, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
