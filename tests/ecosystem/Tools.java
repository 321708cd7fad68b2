import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.kafka.common.utils.Exit;
import org.slf4j.LoggerFactory;

/**
 * Runs Kafka's command-line tools one after another in one virtual machine, since starting one takes longer than what most of them do.
 *
 * Each line of the standard input is a tool to run, in JSON: its class, its arguments, its standard input. Each line of the standard output is what came of
 * it: its exit code, its standard output and its standard error.
 */
public class Tools {
    /** A tool has ended by its own account: nothing of it shall run any more, but for what closes its clients. */
    private static final class Ended extends Error {
        Ended() {
            super("", null, false, false);
        }
    }

    /** Loads the tools' classes anew for each run, since some keep counts in static fields, and leaves all others to the loader that has them. */
    private static final class Anew extends URLClassLoader {
        private static final String TOOLS = "org.apache.kafka.tools.";

        Anew() throws ClassNotFoundException {
            super(new URL[] {Class.forName(TOOLS + "TopicCommand").getProtectionDomain().getCodeSource().getLocation()},
                Tools.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            synchronized (getClassLoadingLock(name)) {
                Class<?> loaded = findLoadedClass(name);
                if (loaded == null && name.startsWith(TOOLS) && findResource(name.replace('.', '/') + ".class") != null) {
                    loaded = findClass(name);
                }
                return loaded != null ? loaded : super.loadClass(name, resolve);
            }
        }
    }

    /** What a tool has said: up to the moment at which it ended, and while its machine would have gone down. */
    private static final class Run {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();
        final ByteArrayOutputStream err = new ByteArrayOutputStream();
        final List<Runnable> hooks = new ArrayList<>();
        private Integer code;
        private String outUntilEnd;
        private String errUntilEnd;

        /** It ends with this exit code, if it has not ended before. */
        synchronized void end(int with) {
            if (code == null) {
                code = with;
                outUntilEnd = out.toString(StandardCharsets.UTF_8);
                errUntilEnd = err.toString(StandardCharsets.UTF_8);
            }
        }

        /** What it says after its end is said by what closes its clients, which a machine that goes down would not do. Hooks are done then. */
        synchronized Map<String, Object> shutDown() {
            out.reset();
            err.reset();
            hooks.forEach(Runnable::run);
            return Map.of("code", code, "out", outUntilEnd + out.toString(StandardCharsets.UTF_8),
                "err", errUntilEnd + err.toString(StandardCharsets.UTF_8));
        }
    }

    private static volatile Run running;

    public static void main(String[] args) throws Exception {
        // Logs go to the standard error as it is now.
        LoggerFactory.getLogger(Tools.class).debug("ready");
        PrintStream answers = System.out;
        ObjectMapper json = new ObjectMapper();
        Exit.Procedure end = (code, message) -> {
            running.end(code);
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> running.hooks.add(hook));
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            answers.println(json.writeValueAsString(run(json.readTree(line))));
            answers.flush();
        }
    }

    private static Map<String, Object> run(JsonNode order) throws Exception {
        String[] args = new String[order.get("args").size()];
        for (int i = 0; i < args.length; i++) {
            args[i] = order.get("args").get(i).asText();
        }
        Run run = new Run();
        running = run;
        PrintStream out = System.out;
        PrintStream err = System.err;
        System.setIn(new ByteArrayInputStream(order.get("input").asText().getBytes(StandardCharsets.UTF_8)));
        System.setOut(new PrintStream(run.out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(run.err, true, StandardCharsets.UTF_8));
        try (Anew loader = new Anew()) {
            Thread.currentThread().setContextClassLoader(loader);
            run.end(end(loader.loadClass(order.get("class").asText()).getMethod("main", String[].class), args));
            return run.shutDown();
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }

    /** Runs a tool to its end, and answers its exit code. One that throws ends with 1, as in a virtual machine of its own. */
    private static int end(Method main, String[] args) throws IllegalAccessException {
        try {
            main.invoke(null, (Object) args);
            return 0;
        } catch (InvocationTargetException thrown) {
            thrown.getCause().printStackTrace();
            return 1;
        }
    }
}
