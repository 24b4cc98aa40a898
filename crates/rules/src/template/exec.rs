//! Walking over the tree. Loops, output and calls of other templates are bounded.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::parse::{Base, Block, Node, Operand, Pipeline, Template};
use super::value::Value;
use super::{TemplateContext, functions};

/// The most bytes that a template may print.
const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// The most nodes that are visited.
const MAX_STEPS: usize = 1_000_000;
/// How deep templates may call each other.
const MAX_CALLS: usize = 50;

/// Fills in a template.
pub(super) fn run(
    template: &Template,
    data: &Value,
    cx: &TemplateContext<'_>,
) -> Result<String, String> {
    let mut run =
        Run { template, cx, out: String::new(), steps: 0, calls: 0, variables: Vec::new() };
    run.variables.push((String::new(), data.clone()));
    match run.nodes(&template.body, data)? {
        ControlFlow::Continue(()) | ControlFlow::Break(_) => Ok(run.out),
    }
}

/// What leaves a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Break,
    Continue,
}

type Flow = Result<ControlFlow<Leave>, String>;

struct Run<'a> {
    template: &'a Template,
    cx: &'a TemplateContext<'a>,
    out: String,
    steps: usize,
    calls: usize,
    variables: Vec<(String, Value)>,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Flow {
        let known = self.variables.len();
        for node in nodes {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err("the template takes too many steps".to_owned());
            }
            if let ControlFlow::Break(leave) = self.node(node, dot)? {
                self.variables.truncate(known);
                return Ok(ControlFlow::Break(leave));
            }
        }
        self.variables.truncate(known);
        Ok(ControlFlow::Continue(()))
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Flow {
        match node {
            Node::Text(text) => self.print(text)?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value.text())?;
                }
            }
            Node::If(block) => return self.condition(block, dot, false),
            Node::With(block) => return self.condition(block, dot, true),
            Node::Range(block) => return self.range(block, dot),
            Node::Call(name, pipeline) => self.call(name, pipeline.as_ref(), dot)?,
            Node::Break => return Ok(ControlFlow::Break(Leave::Break)),
            Node::Continue => return Ok(ControlFlow::Break(Leave::Continue)),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn print(&mut self, text: &str) -> Result<(), String> {
        if self.out.len() + text.len() > MAX_OUTPUT_BYTES {
            return Err(format!("the template prints more than {MAX_OUTPUT_BYTES} bytes"));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn condition(&mut self, block: &Block, dot: &Value, moves_dot: bool) -> Flow {
        let known = self.variables.len();
        let value = self.pipeline(&block.pipeline, dot)?;
        let flow = if value.is_true() {
            self.nodes(&block.body, if moves_dot { &value } else { dot })
        } else {
            self.nodes(&block.otherwise, dot)
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, block: &Block, dot: &Value) -> Flow {
        let known = self.variables.len();
        let value = self.evaluate(&block.pipeline, dot)?;
        let items = items_of(&value)?;
        let mut flow = ControlFlow::Continue(());
        if items.is_empty() {
            flow = self.nodes(&block.otherwise, dot)?;
        }
        for (key, item) in items {
            let names = &block.pipeline.variables;
            let values =
                if names.len() == 2 { vec![key, item.clone()] } else { vec![item.clone()] };
            self.assign(&block.pipeline, names.iter().zip(values))?;
            let left = self.nodes(&block.body, &item)?;
            if !block.pipeline.is_assignment {
                self.variables.truncate(known);
            }
            if left == ControlFlow::Break(Leave::Break) {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn call(&mut self, name: &str, pipeline: Option<&Pipeline>, dot: &Value) -> Result<(), String> {
        let template = self.template;
        let Some(body) = template.defined.get(name) else {
            return Err(format!("template {name:?} not defined"));
        };
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err("exceeded maximum template depth".to_owned());
        }
        let data = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), data.clone())]);
        let flow = self.nodes(body, &data);
        self.variables = outer;
        self.calls -= 1;
        flow.map(|_| ())
    }

    /// The value of a pipeline; sets its variables.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let value = self.evaluate(pipeline, dot)?;
        let values = pipeline.variables.iter().map(|name| (name, value.clone()));
        self.assign(pipeline, values)?;
        Ok(value)
    }

    fn assign<'n>(
        &mut self,
        pipeline: &Pipeline,
        values: impl Iterator<Item = (&'n String, Value)>,
    ) -> Result<(), String> {
        for (name, value) in values {
            if !pipeline.is_assignment {
                self.variables.push((name.clone(), value));
                continue;
            }
            let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
            known.ok_or_else(|| format!("undefined variable: ${name}"))?.1 = value;
        }
        Ok(())
    }

    fn evaluate(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Nil) };
        let Base::Function(name) = &first.base else {
            if !rest.is_empty() || piped.is_some() {
                return Err("can't give argument to non-function".to_owned());
            }
            return self.operand(first, dot);
        };
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
            // They do not look further than they must.
            let last = arguments.last().is_some_and(Value::is_true);
            if (name == "and" && !last) || (name == "or" && last) {
                return Ok(arguments.pop().unwrap_or(Value::Nil));
            }
        }
        arguments.extend(piped);
        let value = functions::call(name, arguments, self.cx)
            .map_err(|error| format!("error calling {name}: {error}"))?;
        fields_of(value, &first.fields)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Nil => Value::Nil,
            Base::Bool(value) => Value::Bool(*value),
            Base::Int(value) => Value::Int(*value),
            Base::Float(value) => Value::Float(*value),
            Base::Str(text) => Value::Str(text.clone()),
            Base::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.ok_or_else(|| format!("undefined variable: ${name}"))?.1.clone()
            }
            Base::Function(name) => functions::call(name, Vec::new(), self.cx)
                .map_err(|error| format!("error calling {name}: {error}"))?,
            Base::Nested(pipeline) => self.pipeline(pipeline, dot)?,
        };
        fields_of(value, &operand.fields)
    }
}

fn fields_of(value: Value, fields: &[String]) -> Result<Value, String> {
    fields.iter().try_fold(value, |value, name| value.field(name))
}

/// Keys and items of something that can be ranged over.
fn items_of(value: &Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(items) => {
            let items: &Arc<Vec<Value>> = items;
            let numbered = items.iter().enumerate();
            Ok(numbered.map(|(i, item)| (Value::Int(i as i64), item.clone())).collect())
        }
        Value::Labels(map) | Value::Map(map) => {
            Ok(map.iter().map(|(k, v)| (Value::Str(k.clone()), v.clone())).collect())
        }
        other => Err(format!("range can't iterate over {}", other.text())),
    }
}
