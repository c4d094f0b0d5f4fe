#!/bin/sh
# The image's entry: the first word names the process. `exec`, so that signals reach it.
set -eu

usage() {
    echo "promptmill image: api | worker | isolated | flower | simulator | migrate |" \
        "healthcheck lease|PORT/PATH | promptmill WORDS" >&2
    exit 2
}

# $1: queues, $2: calls in flight, $3: node name; the rest goes to Celery.
celery_worker() {
    queues=$1 slots=$2 name=$3
    shift 3
    exec python -m celery -q -A worker.main worker -P custom -c "$slots" -Q "$queues" \
        -n "$name@%h" -l WARNING "$@"
}

[ $# -gt 0 ] || usage
process=$1
shift
case $process in
api)
    # Kept open longer than a proxy keeps it: a proxy must never post into a closing connection.
    exec python -m uvicorn api.main:create --factory --host 0.0.0.0 --port 8000 \
        --no-access-log --log-level warning --timeout-keep-alive 75 \
        --timeout-graceful-shutdown 5 "$@"
    ;;
worker) celery_worker "${WORKER_QUEUES:-openai,azure,anthropic,gemini,xai,perplexity,simulator,upkeep}" "${WORKER_SLOTS:-500}" worker "$@" ;;
isolated) celery_worker isolated "${ISOLATED_SLOTS:-4}" isolated "$@" ;;
flower) exec python -m celery -A worker.flower flower "$@" ;;
simulator) exec python -m simulator --host 0.0.0.0 --port 8010 "$@" ;;
migrate) exec promptmill migrate "$@" ;;
healthcheck) exec python "$(dirname "$0")/healthcheck.py" "$@" ;;
promptmill) exec promptmill "$@" ;;
*) usage ;;
esac
