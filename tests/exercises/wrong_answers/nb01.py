"""Wrong answers to notebook 01, as a reader might write them: check -> (words of the verdict, answer)."""

WRONG = {
    "move": [
        ("inverse rotation", lambda R, b, P: P @ R + b),
        ("shifts first", lambda R, b, P: (R @ (P + b).T).T),
        ("shift is missing", lambda R, b, P: (R @ P.T).T),
        ("columns", lambda R, b, P: R @ P.T + b.reshape(3, 1)),
        ("wrong type", lambda R, b, P: [R @ p + b for p in P]),
    ],
}
