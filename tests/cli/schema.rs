//! Checks JSON against a schema of `docs/schema`: of JSON Schema, what these use.

use serde_json::Value;

/// Keys that say nothing of what is valid.
const REMARKS: [&str; 3] = ["$schema", "title", "description"];

/// The places where a value is not what its schema says, each with the reason. A key that the schema does not know is one:
/// whatever is written is described.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    collect("", schema, value, &mut faults);
    faults
}

fn collect(at: &str, schema: &Value, value: &Value, faults: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().into_iter().flatten() {
        let fault = match keyword.as_str() {
            "type" => !is_of_type(wanted, value),
            "enum" => !wanted.as_array().unwrap().contains(value),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    collect(&format!("{at}/{index}"), wanted, item, faults);
                }
                false
            }
            "required" => {
                let object = value.as_object();
                object.is_some_and(|object| {
                    wanted.as_array().unwrap().iter().any(|key| !object.contains_key(key.as_str().unwrap()))
                })
            }
            "properties" => {
                for (key, member) in value.as_object().into_iter().flatten() {
                    match wanted.get(key) {
                        Some(schema) => collect(&format!("{at}/{key}"), schema, member, faults),
                        None => faults.push(format!("{at}/{key}: not in the schema")),
                    }
                }
                false
            }
            remark => {
                assert!(REMARKS.contains(&remark), "the schema uses {remark}, which is not checked");
                false
            }
        };
        if fault {
            faults.push(format!("{at}: {keyword} {wanted} and not {value}"));
        }
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    };
    wanted.as_array().map_or_else(|| is(wanted), |names| names.iter().any(is))
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"enum": ["x"]}}}});
    let faults = |value: Value| faults(&schema, &value).len();
    assert_eq!(faults(serde_json::json!({"a": null, "b": ["x"]})), 0);
    assert_eq!(faults(serde_json::json!({"a": "1", "b": ["y"], "c": 1})), 3);
    assert_eq!(faults(serde_json::json!({})), 1);
    assert_eq!(faults(serde_json::json!([])), 1);
}
