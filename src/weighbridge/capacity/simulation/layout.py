"""Where each number of a running simulation lies.

The whole state is two flat stores, integers `m` and floats `f`: numpy arrays for the compiled
kernel, lists for the plain one. Records are addressed by the place of their first word, as a
pointer would: `m[i + INPUT]` is the prompt length of the request at `i`. Place 0 belongs to the
header, so that 0 can mean "none".
"""

from __future__ import annotations

from typing import Any

Words = Any  # list of int, or int64 array
Reals = Any  # list of float, or float64 array

INF = float("inf")
NAN = float("nan")

# Header, integers
END = 0  # place behind the last request
NEXT_REQUEST = 1  # the first request that was not routed yet
N_REPLICAS = 2
N_RANKS = 3
REPLICA0 = 4
N_BLOCKS = 5  # of one rank's cache
BLOCK = 6  # tokens of one cache block
MAX_RUNNING = 7
BUDGET = 8  # tokens of one iteration of one rank
CHUNKED = 9
CACHING = 10
BY_PRIORITY = 11
FAST = 12  # stretches of decoding in one go
ROUTING = 13
OVERFLOW = 14  # outstanding requests; -1: never
SHARED_BLOCKS = 15  # cache blocks of one prefix block
SHARED_TOKENS = 16  # tokens of one prefix block
LAST_ROUTED = 17  # number of the replica that was chosen last
PENDING_HEAD = 18  # requests that found no replica
PENDING_TAIL = 19
N_PENDING = 20
DECODE0 = 21  # place of decode_s in the floats
MIXED0 = 22
N_CONCURRENT = 23  # of a closed loop, else 0
N_ENDED = 24
N_IDS = 25  # prefix blocks that more than one request begins with
NEXTS0 = 26  # place in the floats of the ends of the replicas' pieces
ASYNC = 27  # an iteration is settled when the one before it starts
WHOLE = 28  # a prompt is admitted only where all of it fits
# Header, floats
KV_S = 0
PAIR_S = 1
NOW_S = 2  # of a closed loop: the latest end

# Routing
LEAST_OUTSTANDING = 0
ROUND_ROBIN = 1
STICKY = 2

# Request, integers. A waiting request is in its rank's queue, by NEXT (first-come) or as a
# pairing heap, with PREV for the first child and NEXT for the sibling (priority); a running one
# is in its rank's list of running requests, in order of admission.
REQUEST0 = 64
REQUEST_WORDS = 16
INPUT = 0
OUTPUT = 1
PRIORITY = 2
PREV = 3
NEXT = 4
FINISH = 5  # iteration of its replica that makes its last token
MADE = 6  # tokens that it had made when it was last admitted
DONE = 7  # tokens in the cache while its prompt is computed, or when it was preempted
HELD = 8  # shared prefix blocks that it holds
CHAIN = 9  # place of the ids of its shared prefix blocks
N_CHAIN = 10
KEPT = 11  # node of its own blocks in the cache after a preemption
N_PREEMPTED = 12
CACHED = 13
RANK = 14  # 0: none; -1: overflowed
HOME = 15  # place where the replica of its session stands; 0: no session
# Request, floats: at a quarter of its place
ARRIVAL = 0
START = 1
FIRST = 2
LAST = 3
DELIVERED = 3  # when it came to its replica, until it ends

# Replica, integers
REPLICA_WORDS = 12
ITERATION = 0  # iterations done
STATUS = 1
OUTSTANDING = 2
PIECE = 3  # iterations of the piece under way; 0: none
PURE = 4  # the piece is a stretch of decoding, which may be cut short
RANKS0 = 5
REAL = 6  # place of its floats
NUMBER = 7
NEXT_AT = 8  # place in the floats of the end of its piece; INF: idle
# Replica, floats
REPLICA_REALS = 12
TIME = 0  # start of the piece
TIME_LOW = 1  # what rounding took off it
END_LOW = 2
LENGTH = 3  # of the piece
FIRST_STEP = 4  # its first iteration
GROWTH = 5  # by which each further iteration is longer
BUSY = 6
BATCH_BY_TIME = 7
BLOCKS_BY_TIME = 8
ON_SINCE = 9
ON = 10
SETTLED = 11  # what arrived later is too late for the next iteration; infinite: nothing is

# Status of a replica
OFF = 0
STARTING = 1
ACTIVE = 2
DRAINING = 3
LOST = 4

# Rank, integers
RANK_WORDS = 28
N_DECODING = 0
CONTEXT = 1  # tokens that the next iteration's decoding requests read
USED = 2  # blocks of live requests
RUNNING_HEAD = 3
RUNNING_TAIL = 4
N_RUNNING = 5
WAITING_HEAD = 6
WAITING_TAIL = 7
N_WAITING = 8
PARTIAL = 9  # the request whose prompt is computed in parts
CHUNK = 10  # prompt tokens of the iteration under way
PAIRS = 11
N_FRESH = 12  # prompts that the iteration under way completes
CALENDAR0 = 13  # heap of the iterations in which decoding requests end
RESIDUES0 = 14  # decoding requests by the iteration, modulo BLOCK, that needs a new block
LEAST_RECENT = 15
MOST_RECENT = 16
N_STALE = 17  # blocks of no live request, still cached
FREE_NODE = 18
BLOCKED = 19  # request that was refused for blocks and none was freed since
PEAK = 20
PROMPT_TOKENS = 21
DECODED = 22
REPLICA = 23
MAP0 = 24  # node of each shared prefix block; 0: not cached
FRESH_NODE = 25  # the first node that was never used
LATE_PLACES = 26  # given back by requests that just ended, too late for the next iteration
LATE_BLOCKS = 27

# Node of the cache: a shared prefix block, or blocks that a request left behind
NODE_WORDS = 5
NODE_PREV = 0
NODE_NEXT = 1
REFS = 2
SIZE = 3  # blocks
OWNER = 4  # place in the map; of left blocks: minus the preempted request, or 0

# A key of the calendar is iteration * KEY + request
KEY = 1 << 30
