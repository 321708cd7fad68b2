import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.QuotaConfig;

/**
 * Lists the settings that a broker of Apache Kafka has, one a line, with tabs between: its name, its type, its default, when it can be changed, and whether it is
 * shown to clients.
 */
public class BrokerSettings {
    public static void main(String[] args) {
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        Map<String, String> lines = new TreeMap<>();
        QuotaConfig.brokerQuotaConfigs().configKeys().values().forEach(key -> lines.put(key.name, line(key, modes, false)));
        AbstractKafkaConfig.CONFIG_DEF.configKeys().values().forEach(key -> lines.put(key.name, line(key, modes, !key.internalConfig)));
        lines.values().forEach(System.out::println);
    }

    private static String line(ConfigDef.ConfigKey key, Map<String, String> modes, boolean isShown) {
        String text = key.hasDefault() ? ConfigDef.convertToString(key.defaultValue, key.type) : null;
        return String.join("\t", key.name, key.type.name(), String.valueOf(text), modes.getOrDefault(key.name, "read-only"), isShown ? "shown" : "hidden");
    }
}
