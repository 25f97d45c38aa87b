//! The passes of the real code, as a tree of the answers that they got.
//!
//! A pass is a function of its answers, so the answers are its state. A node of the tree is a pass
//! that waits for its next answer. A node keeps the future of its pass until an answer advances it;
//! after that, the pass is run again from its answers when it is needed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use patchwave::policy::Mode;
use patchwave::trigger::Trigger;
use patchwave_converge::{Budget, PassSettings, converge};

use crate::diamond::Diamond;
use crate::model::{Answer, Call};
use crate::stepped_world::SteppedWorld;

/// An answer, and the time at which the world gave it.
pub(crate) type Timed = (i64, Answer);

/// The passes of all orders that the search explores.
pub(crate) struct Passes {
    diamond: Rc<Diamond>,
    roots: BTreeMap<(Trigger, &'static str), u32>,
    nodes: Vec<Node>,
}

struct Node {
    /// The node before the last answer, and that answer.
    before: Option<(u32, Timed)>,
    root: (Trigger, &'static str),
    /// The call that waits for an answer, or nothing if the pass is over.
    call: Option<Call>,
    after: BTreeMap<Timed, u32>,
    live: Option<Live>,
}

/// A pass that waits for its next answer.
struct Live {
    world: Rc<SteppedWorld>,
    pass: Pin<Box<dyn Future<Output = ()>>>,
}

impl Passes {
    pub(crate) fn new(diamond: Rc<Diamond>) -> Self {
        Self { diamond, roots: BTreeMap::new(), nodes: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Begins a pass.
    pub(crate) fn begin(&mut self, trigger: Trigger, owner: &'static str) -> u32 {
        let root = (trigger, owner);
        if let Some(node) = self.roots.get(&root) {
            return *node;
        }
        let mut live = Live::new(&self.diamond, &root);
        let call = live.advance();
        let node = self.add(Node {
            before: None,
            root: root.clone(),
            call,
            after: BTreeMap::new(),
            live: Some(live),
        });
        self.roots.insert(root, node);
        node
    }

    /// Returns the call that waits for an answer, or nothing if the pass is over.
    pub(crate) fn call(&self, node: u32) -> Option<Call> {
        self.nodes[node as usize].call
    }

    /// Answers a pass, and returns its next node.
    pub(crate) fn answer(&mut self, node: u32, answer: Timed) -> u32 {
        if let Some(after) = self.nodes[node as usize].after.get(&answer) {
            return *after;
        }
        let live = self.nodes[node as usize].live.take();
        let mut live = live.unwrap_or_else(|| self.replay(node));
        live.world.answer(answer);
        let call = live.advance();
        let root = self.nodes[node as usize].root.clone();
        let live = call.is_some().then_some(live);
        let after = self.add(Node { before: Some((node, answer)), root, call, after: BTreeMap::new(), live });
        self.nodes[node as usize].after.insert(answer, after);
        after
    }

    fn replay(&self, node: u32) -> Live {
        let mut answers = Vec::new();
        let mut at = &self.nodes[node as usize];
        while let Some((before, answer)) = at.before {
            answers.push(answer);
            at = &self.nodes[before as usize];
        }
        let mut live = Live::new(&self.diamond, &at.root);
        live.advance();
        for answer in answers.into_iter().rev() {
            live.world.answer(answer);
            live.advance();
        }
        live
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).unwrap()
    }
}

impl Live {
    fn new(diamond: &Rc<Diamond>, (trigger, owner): &(Trigger, &'static str)) -> Self {
        let world = Rc::new(SteppedWorld::new(Rc::clone(diamond)));
        let of_pass = Rc::clone(&world);
        let triggers = [trigger.clone()];
        let settings = PassSettings {
            mode: Mode::Enforce,
            owner: (*owner).to_owned(),
            budget: Budget {
                images: diamond.setting.images_of_a_page,
                retries: diamond.setting.retries,
                ..Budget::default()
            },
        };
        let pass = Box::pin(async move {
            // The report does not matter, only what the pass did to the model.
            let _ = converge(&*of_pass, of_pass.hierarchy(), &triggers, &settings).await;
        });
        Self { world, pass }
    }

    /// Runs the pass until it makes a call, and returns the call, or nothing if the pass ended.
    fn advance(&mut self) -> Option<Call> {
        match self.pass.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => None,
            Poll::Pending => self.world.take_call(),
        }
    }
}
