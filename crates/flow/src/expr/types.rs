//! Types that are named: those of fields, and those that CEL names in full.

use cel::common::ast::{Expr as Ast, SelectExpr};

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FieldType {
    String,
    Int,
    Double,
    Bool,
    Timestamp,
    List,
    Map,
}

impl FieldType {
    /// Its name in the language.
    pub fn word(self) -> &'static str {
        match self {
            FieldType::String => "string",
            FieldType::Int => "int",
            FieldType::Double => "double",
            FieldType::Bool => "bool",
            FieldType::Timestamp => "timestamp",
            FieldType::List => "list",
            FieldType::Map => "map",
        }
    }
}

/// The types that CEL names in full.
pub fn protobuf_type(s: &SelectExpr) -> Option<&'static str> {
    let Ast::Select(of) = &s.operand.expr else { return None };
    match (&of.operand.expr, of.field.as_str(), s.field.as_str()) {
        (Ast::Ident(root), "protobuf", "Timestamp") if root == "google" => Some("google.protobuf.Timestamp"),
        (Ast::Ident(root), "protobuf", "Duration") if root == "google" => Some("google.protobuf.Duration"),
        _ => None,
    }
}
