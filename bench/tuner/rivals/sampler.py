"""optuna's TPE, a point a line: run by an interpreter that has optuna, which the product has not.

Prints a point as JSON and reads what it is worth, until nothing more is told.
"""

import json
import sys

import optuna


def main() -> None:
    task = json.loads(sys.argv[1])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task["seed"]))
    while True:
        trial = study.ask()
        # By place and not by value: the values of an axis are ordered, and far from even.
        places = {name: trial.suggest_int(name, 0, len(values) - 1) for name, values in task["axes"].items()}
        print(json.dumps({name: task["axes"][name][place] for name, place in places.items()}), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        study.tell(trial, float(line))


if __name__ == "__main__":
    main()
