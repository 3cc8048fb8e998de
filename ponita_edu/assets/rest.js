// Plotly's 3D scenes ask in every frame whether there is something to draw, and a picture that stands still keeps a
// processor busy. With this script they ask in every frame for a second after `ponitaWake()`, which comes with every
// movement of a hand, too, and else five times a second.
globalThis.ponitaWake ??= (() => {
    const AWAKE = 1000, NAP = 200; // ms
    const inNextFrame = globalThis.requestAnimationFrame.bind(globalThis);
    const known = new WeakMap(), asleep = new Map();
    let until = 0;

    // plotly's question: function he() { K._stopped || K.contextLost || (xe(), requestAnimationFrame(he)) }
    function asks(act) {
        if (!known.has(act)) {
            known.set(act, /\._stopped\s*\|\|\s*\w+\.contextLost/.test(Function.prototype.toString.call(act)));
        }
        return known.get(act);
    }

    function wake() {
        until = performance.now() + AWAKE;
        for (const [act, timer] of asleep) {
            clearTimeout(timer);
            inNextFrame(act);
        }
        asleep.clear();
    }

    globalThis.requestAnimationFrame = (act) => {
        if (performance.now() < until || !asks(act)) {
            return inNextFrame(act);
        }
        asleep.set(act, setTimeout(() => {
            asleep.delete(act);
            inNextFrame(act);
        }, NAP));
    };
    for (const event of ["pointerdown", "pointermove", "wheel", "touchmove", "keydown", "resize"]) {
        addEventListener(event, wake, { capture: true, passive: true });
    }
    wake();
    return wake;
})();
