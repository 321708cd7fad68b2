//! Clients' metrics (KIP-714) among the node's own.

use std::collections::BTreeMap;

use crate::exposition::{Exposition, Kind};
use crate::status::{ClientMetric, TelemetryStatus};

/// Writes what is counted of clients' metrics, and the metrics.
pub(crate) fn render(out: &mut Exposition, telemetry: &TelemetryStatus) {
    out.single("caudal_telemetry_clients", Kind::Gauge, "Clients whose metrics are taken.", telemetry.clients);
    out.single("caudal_telemetry_values", Kind::Gauge, "Values of clients' metrics below.", telemetry.values.len());
    let counters = [
        ("caudal_telemetry_pushes_total", "Pushes of clients' metrics taken.", telemetry.pushes),
        ("caudal_telemetry_push_errors_total", "Pushes that could not be read.", telemetry.push_errors),
        ("caudal_telemetry_throttles_total", "Requests before the client's interval was over.", telemetry.throttles),
        (
            "caudal_telemetry_unknown_subscriptions_total",
            "Pushes for a subscription that has changed since.",
            telemetry.unknown_subscriptions,
        ),
        ("caudal_telemetry_clients_evicted_total", "Clients forgotten for being too many.", telemetry.clients_evicted),
        (
            "caudal_telemetry_values_dropped_total",
            "Values dropped for being too many, or for their names.",
            telemetry.values_dropped,
        ),
    ];
    for (name, help, value) in counters {
        out.single(name, Kind::Counter, help, value);
    }
    out.single("caudal_telemetry_push_seconds_total", Kind::Counter, "How long pushes took.", telemetry.push_seconds);
    values(out, &telemetry.values);
}

fn values(out: &mut Exposition, values: &[ClientMetric]) {
    let mut by_name: BTreeMap<&str, Vec<&ClientMetric>> = BTreeMap::new();
    for value in values {
        by_name.entry(&value.name).or_default().push(value);
    }
    for (name, values) in by_name {
        // Clients may be at odds.
        let counters = values.iter().filter(|value| value.counter).count();
        let kind = match counters {
            0 => Kind::Gauge,
            all if all == values.len() => Kind::Counter,
            _ => Kind::Untyped,
        };
        let mut family = out.family(name, kind, "Pushed by clients (KIP-714).");
        for value in values {
            let labels: Vec<(&str, &str)> = value.labels.iter().map(|(name, text)| (&**name, &**text)).collect();
            family.sample(&labels, value.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_name_stand_together_and_have_one_type() {
        let value = |name: &str, counter, client: &str, value| ClientMetric {
            name: name.to_owned(),
            counter,
            labels: vec![("client_id".to_owned(), client.to_owned())],
            value,
        };
        let values = [
            value("caudal_client_b_total", true, "x", 3.0),
            value("caudal_client_a", false, "x", 0.5),
            value("caudal_client_c", true, "x", 1.0),
            value("caudal_client_b_total", true, "y\"", 4.0),
            value("caudal_client_c", false, "y", f64::NAN),
        ];
        let mut out = Exposition::default();
        render(&mut out, &TelemetryStatus { clients: 2, values: values.into(), ..TelemetryStatus::default() });
        let text = out.into_text();
        assert!(text.contains("caudal_telemetry_clients 2\n"), "{text}");
        let wanted = "\
# TYPE caudal_client_b_total counter
caudal_client_b_total{client_id=\"x\"} 3
caudal_client_b_total{client_id=\"y\\\"\"} 4
";
        assert!(text.contains(wanted), "{text}");
        assert!(text.contains("# TYPE caudal_client_a gauge\ncaudal_client_a{client_id=\"x\"} 0.5\n"), "{text}");
        assert!(text.contains("# TYPE caudal_client_c untyped\n"), "{text}");
    }
}
