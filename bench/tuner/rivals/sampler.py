"""optuna's TPE, a point a line: run by an interpreter that has optuna, which the product has not.

Prints a point as JSON and reads what it is worth, as many times as there are trials.
"""

import json
import sys

import optuna


def main() -> None:
    task = json.loads(sys.argv[1])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task["seed"]))
    for _ in range(task["trials"]):
        trial = study.ask()
        # By place and not by value: the values of an axis are ordered, and far from even.
        places = {name: trial.suggest_int(name, 0, len(values) - 1) for name, values in task["axes"].items()}
        print(json.dumps({name: task["axes"][name][place] for name, place in places.items()}), flush=True)
        study.tell(trial, float(sys.stdin.readline()))


if __name__ == "__main__":
    main()
