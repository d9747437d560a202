import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** A producer of somebody else, with transactions: Foreign BOOTSTRAP TOPIC commit|abort|hang|heal PREFIX COUNT */
class Foreign {
    public static void main(String[] args) {
        var settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("transactional.id", "somebody-else");
        settings.put("transaction.timeout.ms", "600000");
        settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        var producer = new KafkaProducer<String, String>(settings);
        producer.initTransactions(); // aborts what a former self left open
        if (!args[2].equals("heal")) {
            producer.beginTransaction();
            for (int i = 0; i < Integer.parseInt(args[4]); i++) {
                producer.send(new ProducerRecord<>(args[1], args[3] + "-" + i));
            }
            producer.flush();
        }
        switch (args[2]) {
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            case "hang" -> Runtime.getRuntime().halt(0);
            default -> { }
        }
        producer.close();
    }
}
