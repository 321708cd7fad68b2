//! The event: somebody paid with a card.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;
use serde::{Deserialize, Serialize};

/// How many cards there are.
pub const CARDS: u32 = 100;

const MERCHANTS: [&str; 8] = [
    "Padaria do Bairro",
    "Mercado Central",
    "Posto Ipiranga",
    "Farmácia Popular",
    "Livraria Cultura",
    "Café da Praça",
    "Cinema",
    "Metrô",
];

/// A card purchase that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompraEfetuada {
    /// The purchase, counted from 1.
    pub id: u64,
    /// The card, which is also the record's key: purchases of a card stay in order.
    pub card: String,
    /// Where.
    pub merchant: String,
    /// How much, in cents. Money is never a floating-point number.
    pub cents: u64,
    /// When, in microseconds since the Unix epoch.
    pub time: u64,
}

impl CompraEfetuada {
    /// A purchase that is made now.
    pub fn random(id: u64, random: &mut impl Rng) -> Self {
        Self {
            id,
            card: format!("card-{:03}", random.random_range(1..=CARDS)),
            merchant: MERCHANTS[random.random_range(0..MERCHANTS.len())].to_owned(),
            cents: random.random_range(100..=50_000),
            time: now_us(),
        }
    }

    /// How long ago it was made, in microseconds.
    pub fn age_us(&self) -> u64 {
        now_us().saturating_sub(self.time)
    }
}

/// Microseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a client of its own, with no clock of Caudal's to ask")]
pub fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purchase_is_plain_json() {
        let purchase = CompraEfetuada {
            id: 7,
            card: "card-042".to_owned(),
            merchant: "Cinema".to_owned(),
            cents: 3_590,
            time: 1_700_000_000_000_000,
        };
        let json = serde_json::to_string(&purchase).unwrap();
        assert_eq!(json, r#"{"id":7,"card":"card-042","merchant":"Cinema","cents":3590,"time":1700000000000000}"#);
        assert_eq!(serde_json::from_str::<CompraEfetuada>(&json).unwrap(), purchase);
    }
}
