//! Guards that attack the host; see `docs/guards/hostile.md`.

use picket_sdk::prelude::*;

/// Answers nothing but allow.
pub struct Hostile;

impl Guard for Hostile {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            summary: String::new(),
            settings_schema: "{}".to_owned(),
            needs: Parts::OUTPUT,
            rules: Vec::new(),
        }
    }

    fn configure(settings: &str) -> Result<Self, Vec<Problem>> {
        settings::parse::<serde_json::Value>(settings)?;
        Ok(Self)
    }

    fn check(&self, _inference: &Inference) -> Result<Verdict, String> {
        Ok(Verdict::allow())
    }
}

picket_sdk::export_guard!(Hostile);
