"""The order of those who wait."""

from weighbridge.gateway.fair_queue import FairQueue, Ticket


def filled(*names, ageing_s=1e9):
    """A queue of tickets named after tenant and priority, as "a0", all come at 0."""
    queue = FairQueue(ageing_s)
    for name in names:
        queue.push(Ticket(name[0], int(name[1]), 1e9, 10, 1, payload=name), now=0.0)
    return queue


def drained(queue, now=0.0, cost=1.0):
    order = []
    while (ticket := queue.first(now)) is not None:
        queue.serve(ticket, cost, now)
        order.append(ticket.payload)
    return order


def test_one_tenant_is_served_first_come_first():
    queue = FairQueue(1.0)
    for n in range(5):
        queue.push(Ticket("a", 0, 1e9, 0, 0, payload=n), now=0.0)
    assert drained(queue) == [0, 1, 2, 3, 4]
    assert queue.total.n == 0


def test_priority_goes_before_turn():
    assert drained(filled("a0", "a2", "b1", "c2")) == ["a2", "c2", "b1", "a0"]


def test_a_priority_that_is_passed_over_rises_a_rank_at_a_time():
    queue = filled("a0", "b9", "b9", "b9", ageing_s=2.0)
    order = []
    for now in (1.0, 2.5, 5.0, 5.5):
        ticket = queue.first(now)
        queue.serve(ticket, 1.0, now)
        order.append(ticket.payload)
    assert order == ["b9", "b9", "a0", "b9"]


def test_absence_saves_nothing_up():
    queue = filled("a0", "a0", "a0", "a0")
    for _ in range(2):
        queue.serve(queue.first(0.0), 1.0, 0.0)
    for _ in range(3):
        queue.push(Ticket("b", 0, 1e9, 0, 0, payload="b0"), now=0.0)
    assert sorted(drained(queue)[:2]) == ["a0", "b0"]


def test_those_who_left_cost_their_tenant_nothing():
    queue = filled("a0", "a0", "a0", "b0", "b0")
    for _ in range(2):
        queue.remove(queue.first(0.0), "gone")
    assert drained(queue)[0] == "a0"


def test_what_is_ahead_is_the_tenants_own_of_the_same_priority():
    queue = filled("a0", "a0", "a1", "b0")
    ahead = queue.ahead_of(Ticket("a", 0, 1e9, 0, 0))
    assert (ahead.n, ahead.input_tokens, ahead.output_tokens) == (2, 20, 2)
    assert queue.ahead_of(Ticket("c", 0, 1e9, 0, 0)).n == 0
    assert queue.ahead_of(Ticket("a", 7, 1e9, 0, 0)).n == 0


def test_room_is_made_by_the_greediest_of_the_lowest_priority_only():
    queue = filled("a1", "a1", "b0", "c1")
    assert queue.displaced_by(Ticket("d", 1, 1e9, 0, 0)).payload == "b0"
    assert queue.displaced_by(Ticket("d", -1, 1e9, 0, 0)) is None
    assert filled("a0", "b0").displaced_by(Ticket("c", 0, 1e9, 0, 0)) is None
    assert filled("a0", "a0", "b0").displaced_by(Ticket("c", 0, 1e9, 0, 0)).payload == "a0"
    assert filled("a0", "a0", "b0").displaced_by(Ticket("b", 0, 1e9, 0, 0)) is None
