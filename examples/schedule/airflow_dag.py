"""A nightly evaluation for Airflow: check, evaluate, show what the gate said.

Put it into the folder of DAGs; `realear` must be on the PATH of its workers. A task that was killed
is tried again and goes on where it stopped. A gate that fires (5) or too many failed clips (3) will
not get better by trying again: those codes end the task at once.
"""

from datetime import datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

SUITE = "/srv/eval/phone.yaml"
WORKSPACE = "/srv/eval/realear"
FINAL = {2: "a mistake to mend", 3: "more clips failed than tolerated", 5: "a gate fired"}


@dag(
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
)
def realear_nightly() -> None:
    """Evaluate a suite; what is there already is not made again."""

    @task
    def evaluate() -> str:
        import subprocess

        words = ["realear", "evaluate", SUITE, "--out", WORKSPACE, "--since", "last"]
        gate = ["--fail-if", "worse.wer > 0.01"]
        ended = subprocess.run(words + gate, capture_output=True, text=True, check=False)
        print(ended.stdout, ended.stderr, sep="\n")
        if ended.returncode in FINAL:
            raise AirflowFailException(f"{FINAL[ended.returncode]}: see the log")
        ended.check_returncode()
        return f"{WORKSPACE}/site"

    evaluate()


realear_nightly()
