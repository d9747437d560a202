import java.io.IOException;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.DefaultRecordBatch;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.CloseableIterator;
import org.apache.kafka.common.utils.Utils;

/** Reads and writes record batches with Kafka's own code. The README says how it is called and what it prints. */
final class Oracle {
    private static final CompressionType[] CODECS = CompressionType.values();
    private static final long NOW = 1_700_000_000_000L;
    private static final long PRODUCER = 77;

    public static void main(String[] args) throws IOException {
        Path batches = Path.of(args[1]);
        Path listing = Path.of(args[2]);
        switch (args[0]) {
            case "read" -> { }
            case "write" -> write(new Random(Long.parseLong(args[3])), batches);
            default -> throw new IllegalArgumentException(args[0]);
        }
        try {
            list(batches, listing);
        } catch (ApiException e) {
            // It has no stack trace, and over that the JDK's launcher of source files stumbles.
            throw new IllegalStateException(e);
        }
    }

    // Reading.

    private static void list(Path batches, Path listing) throws IOException {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(batches)));
        require(records.validBytes() == records.sizeInBytes(), "bytes behind the last whole batch");
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(listing))) {
            for (RecordBatch batch : records.batches()) {
                listBatch((DefaultRecordBatch) batch, out);
            }
            require(!out.checkError(), "the listing cannot be written");
        }
    }

    private static void listBatch(DefaultRecordBatch batch, PrintWriter out) {
        batch.ensureValid();
        out.printf("batch %d %d %d %s %s %d %d %d %d %d %b %b%n", batch.baseOffset(), batch.lastOffset(),
            batch.countOrNull(), batch.compressionType().name, batch.timestampType(), batch.baseTimestamp(),
            batch.maxTimestamp(), batch.producerId(), batch.producerEpoch(), batch.baseSequence(),
            batch.isTransactional(), batch.isControlBatch());
        // The second walk is the one by which a broker checks what producers send.
        try (CloseableIterator<Record> skipping = batch.skipKeyValueIterator(BufferSupplier.NO_CACHING)) {
            for (Record record : batch) {
                record.ensureValid();
                listRecord(record, out);
                Record skipped = skipping.next();
                require(skipped.offset() == record.offset() && skipped.timestamp() == record.timestamp()
                    && skipped.keySize() == record.keySize() && skipped.valueSize() == record.valueSize(),
                    "two walks of a batch differ");
            }
            require(!skipping.hasNext(), "two walks of a batch differ in length");
        }
    }

    private static void listRecord(Record record, PrintWriter out) {
        out.append("record ").append(Long.toString(record.offset()));
        out.append(' ').append(Long.toString(record.timestamp()));
        out.append(' ').append(hex(Utils.toNullableArray(record.key())));
        out.append(' ').append(hex(Utils.toNullableArray(record.value())));
        for (Header header : record.headers()) {
            out.append(' ').append(hex(header.key().getBytes(StandardCharsets.UTF_8)));
            out.append('=').append(hex(header.value()));
        }
        out.println();
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : "x" + HexFormat.of().formatHex(bytes);
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalStateException(otherwise);
        }
    }

    // Writing.

    private static void write(Random random, Path batches) throws IOException {
        long offset = 5_000_000_000L;
        try (FileChannel out = FileChannel.open(batches, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (CompressionType codec : CODECS) {
                for (int traits = 0; traits < 16; traits++) {
                    MemoryRecords batch = batch(random, Compression.of(codec).build(), traits, offset);
                    batch.writeFullyTo(out);
                    offset = batch.lastBatch().orElseThrow().nextOffset();
                }
                MemoryRecords plain = MemoryRecords.withRecords(offset, Compression.of(codec).build(), few(random));
                plain.writeFullyTo(out);
                offset = plain.lastBatch().orElseThrow().nextOffset();
            }
            MemoryRecords.withEndTransactionMarker(offset, NOW, 3, PRODUCER, (short) 5,
                new EndTransactionMarker(ControlRecordType.COMMIT, 9)).writeFullyTo(out);
            MemoryRecords.readableRecords(emptied(offset + 1)).writeFullyTo(out);
        }
    }

    /** A batch with the traits whose bits are set: broker's time, transaction, holes in the offsets, delete horizon. */
    private static MemoryRecords batch(Random random, Compression codec, int traits, long base) {
        boolean appendTime = (traits & 1) != 0;
        boolean transactional = (traits & 2) != 0;
        boolean holes = (traits & 4) != 0;
        boolean horizon = (traits & 8) != 0;
        TimestampType type = appendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
            new ByteBufferOutputStream(1024), RecordBatch.MAGIC_VALUE_V2, codec, type, base,
            appendTime ? NOW + traits : RecordBatch.NO_TIMESTAMP,
            transactional ? PRODUCER : RecordBatch.NO_PRODUCER_ID, transactional ? (short) 5 : -1,
            transactional ? 11 : RecordBatch.NO_SEQUENCE, transactional, false, 3, Integer.MAX_VALUE,
            horizon ? NOW + 86_400_000 : RecordBatch.NO_TIMESTAMP);
        int count = traits == 0 ? 1 : traits == 1 ? 500 : 1 + random.nextInt(500);
        long offset = base;
        for (int i = 0; i < count; i++) {
            offset += holes ? random.nextInt(200) : 0;
            builder.appendWithOffset(offset++, record(random));
        }
        // Larger than a block of the lz4 frame.
        builder.appendWithOffset(offset++, new SimpleRecord(NOW, null, bytes(random, 150_000)));
        if (holes) {
            builder.overrideLastOffset(offset + 7);
        }
        return builder.build();
    }

    /** What compaction leaves of a batch whose every record is gone. */
    private static ByteBuffer emptied(long base) {
        ByteBuffer buffer = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(buffer, RecordBatch.MAGIC_VALUE_V2, PRODUCER, (short) 5, 12, base, base + 3,
            3, TimestampType.CREATE_TIME, NOW, false, false);
        return buffer.flip();
    }

    private static SimpleRecord[] few(Random random) {
        SimpleRecord[] records = new SimpleRecord[1 + random.nextInt(20)];
        Arrays.setAll(records, i -> record(random));
        return records;
    }

    private static SimpleRecord record(Random random) {
        Header[] headers = new Header[Math.max(0, random.nextInt(6) - 2)];
        Arrays.setAll(headers, i -> new RecordHeader(name(random), nullable(random, 30)));
        return new SimpleRecord(timestamp(random), nullable(random, 40), nullable(random, 300), headers);
    }

    private static long timestamp(Random random) {
        return switch (random.nextInt(300)) {
            case 0 -> RecordBatch.NO_TIMESTAMP;
            case 1 -> 0;
            case 2 -> Long.MAX_VALUE;
            case 3 -> random.nextLong() >>> 1;
            default -> NOW + random.nextInt(10_000) - 5_000;
        };
    }

    private static String name(Random random) {
        String[] names = {"", "a", "trace-id", "gr\u00f6\u00dfe", "\u540d\u524d", "\ud83c\udf88"};
        return names[random.nextInt(names.length)];
    }

    private static byte[] nullable(Random random, int limit) {
        return switch (random.nextInt(6)) {
            case 0 -> null;
            case 1 -> new byte[0];
            default -> bytes(random, random.nextInt(limit));
        };
    }

    /** Half of the time bytes that compress well. */
    private static byte[] bytes(Random random, int length) {
        byte[] bytes = new byte[length];
        if (random.nextBoolean()) {
            random.nextBytes(bytes);
        } else {
            Arrays.fill(bytes, (byte) random.nextInt());
        }
        return bytes;
    }
}
