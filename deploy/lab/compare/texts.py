"""Every word of the report, in English and Portuguese. Pure."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "pt"]

TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Active and passive health checks, compared", "Verificações de saúde ativas e passivas, comparadas"),
    "lead": (
        "Three web UIs behind each balancer in turn. The same requests arrive at times fixed beforehand, while one UI is "
        "broken. What did users see, and how soon did the balancer know?",
        "Três interfaces web atrás de cada balanceador, um por vez. As mesmas requisições chegam em instantes fixados de "
        "antemão, enquanto uma interface é quebrada. O que os usuários viram, e quando o balanceador percebeu?",
    ),
    "harmed": ("Users harmed", "Usuários prejudicados"),
    "harmed_note": (
        "Errors and stalls per run (median of the repetitions; below it the range). A stall is a right answer that came "
        "after more than {stall} s; an error is a bad status, a broken connection, or {patience} s without an answer.",
        "Erros e travamentos por execução (mediana das repetições; abaixo, a faixa). Travamento é uma resposta certa que "
        "levou mais de {stall} s; erro é um status ruim, uma conexão rompida ou {patience} s sem resposta.",
    ),
    "of_requests": ("of about {count} requests", "de cerca de {count} requisições"),
    "findings": ("In plain words", "Em poucas palavras"),
    "timelines": ("Moment by moment", "Momento a momento"),
    "timelines_note": (
        "One repetition of each arrangement. Every mark is a request, placed when it was due, in the lane of the server "
        "that answered; those that no server answered are in the lowest lane. A bar is a time in which the balancer "
        "kept traffic away from that server; shading is the fault.",
        "Uma repetição de cada arranjo. Cada marca é uma requisição, no instante em que devia partir, na faixa do servidor "
        "que respondeu; as que nenhum servidor respondeu estão na faixa mais baixa. Uma barra é um período em que o "
        "balanceador evitou aquele servidor; o sombreado é a falha.",
    ),
    "latency": ("Latency, from when a request was due", "Latência, desde o instante em que a requisição era devida"),
    "latency_note": (
        "Median, 90th and 99th percentile and maximum of all requests of a run; logarithmic scale.",
        "Mediana, percentis 90 e 99 e máximo de todas as requisições de uma execução; escala logarítmica.",
    ),
    "figures": ("All figures", "Todos os números"),
    "figures_note": (
        "Medians over {repetitions} repetition(s), ranges in brackets where they differ.",
        "Medianas de {repetitions} repetição(ões), faixas entre colchetes onde diferem.",
    ),
    "conditions": ("How it was measured", "Como foi medido"),
    "arrangement": ("Arrangement", "Arranjo"),
    "fault": ("Fault", "Falha"),
    "errors": ("Errors", "Erros"),
    "stalls": ("Stalls", "Travamentos"),
    "detect_s": ("Detected after", "Detectada após"),
    "recover_s": ("Back after", "De volta após"),
    "false_ejections": ("False ejections", "Expulsões falsas"),
    "probes_per_s": ("Probes per s", "Sondas por s"),
    "shared_out": ("Share of the broken server", "Fração do servidor quebrado"),
    "never": ("never", "nunca"),
    "nobody": ("nobody", "ninguém"),
    "taken_out": ("kept out", "evitado"),
    "ok": ("right", "certa"),
    "stalled": ("stalled", "travada"),
    "error": ("error", "erro"),
    "seconds": ("s", "s"),
    "passive": ("passive", "passiva"),
    "active": ("active", "ativa"),
    "both": ("both", "ambas"),
    "nginx": ("nginx", "nginx"),
    "haproxy": ("HAProxy", "HAProxy"),
    "passive_is": ("balancer-lite, passive checks", "balancer-lite, verificação passiva"),
    "active_is": ("balancer-lite, active checks", "balancer-lite, verificação ativa"),
    "both_is": ("balancer-lite, both", "balancer-lite, ambas"),
    "nginx_is": ("nginx, passive checks", "nginx, verificação passiva"),
    "haproxy_is": ("HAProxy, active checks", "HAProxy, verificação ativa"),
    "kill": ("killed", "morto"),
    "pause": ("paused", "congelado"),
    "refuse": ("connections refused", "conexões recusadas"),
    "drop": ("packets dropped", "pacotes descartados"),
    "slow": ("slow answers", "respostas lentas"),
    "errors_fault": ("fast errors 500", "erros 500 rápidos"),
    "flap": ("flapping", "intermitente"),
    "rolling": ("rolling restart", "reinício em rodízio"),
    "overload": ("busy", "ocupado"),
    "kill_is": ("SIGKILL: its kernel refuses at once", "SIGKILL: o kernel recusa na hora"),
    "pause_is": ("SIGSTOP: accepts, never answers", "SIGSTOP: aceita, nunca responde"),
    "refuse_is": ("runs, but does not listen", "roda, mas não escuta"),
    "drop_is": ("not even the connection is answered", "nem a conexão é respondida"),
    "slow_is": ("right answers after {slow} s", "respostas certas após {slow} s"),
    "errors_is": ("status 500 in no time", "status 500 num instante"),
    "flap_is": ("refuses and serves by turns", "ora recusa, ora serve"),
    "rolling_is": ("each server restarts in its turn", "cada servidor reinicia na sua vez"),
    "overload_is": (
        "one request at a time; its check waits in the same queue",
        "uma requisição por vez; a verificação espera na mesma fila",
    ),
    "best": (
        "<b>{fault}</b>: {best} harmed the fewest users ({low}), {worst} the most ({high}).",
        "<b>{fault}</b>: {best} prejudicou menos usuários ({low}); {worst}, mais ({high}).",
    ),
    "equal": (
        "<b>{fault}</b>: no difference for users ({low} harmed with each arrangement).",
        "<b>{fault}</b>: nenhuma diferença para os usuários ({low} prejudicados em cada arranjo).",
    ),
    "unseen": (
        "{who} never took the broken server out.",
        "{who}: o servidor quebrado nunca foi retirado.",
    ),
    "fed": (
        "The broken server drew up to {share} of the answers ({who}): it was always the least loaded.",
        "O servidor quebrado atraiu até {share} das respostas ({who}): era sempre o menos carregado.",
    ),
    "falsely": (
        "{who} took out a server whose answers were right and in time.",
        "{who}: um servidor com respostas certas e em tempo foi retirado.",
    ),
    "method": (
        "{rate} requests per second for {seconds} s in each run, a fifth of them POST, over new connections; the fault "
        "begins after {lead} s and lasts {lasts} s; a page takes {service} ms to make; seed {seed}.",
        "{rate} requisições por segundo durante {seconds} s em cada execução, um quinto delas POST, em conexões novas; a "
        "falha começa após {lead} s e dura {lasts} s; uma página leva {service} ms para ser feita; semente {seed}.",
    ),
    "knobs_passive": (
        "Passive: max_fails {max_fails}, fail_timeout {fail_timeout_s} s. Status 500 counts as an answer, as it does in "
        "nginx by default.",
        "Passiva: max_fails {max_fails}, fail_timeout {fail_timeout_s} s. O status 500 conta como resposta, que é o "
        "padrão do nginx.",
    ),
    "knobs_active": (
        "Active: GET /healthz every {interval_s} s, timeout {probe_timeout_s} s, out after {fails} failures, back after "
        "{passes} success(es). The check goes the way of every page.",
        "Ativa: GET /healthz a cada {interval_s} s, limite de {probe_timeout_s} s, fora após {fails} falhas, de volta após "
        "{passes} sucesso(s). A verificação segue o caminho de qualquer página.",
    ),
    "knobs_all": (
        "All: least connections, connect timeout {connect_timeout_s} s, read timeout {read_timeout_s} s. balancer-lite and "
        "nginx ask the next server after an error or a timeout, unless a POST was sent; HAProxy only if connecting failed.",
        "Todos: menos conexões, limite de conexão {connect_timeout_s} s, de leitura {read_timeout_s} s. balancer-lite e "
        "nginx perguntam ao próximo servidor após um erro ou limite, salvo se um POST foi enviado; o HAProxy, só se a "
        "conexão falhou.",
    ),
    "lag": (
        "Requests left at most {lag} ms after they were due (worst run). The balancer was looked at every 50 ms; of nginx "
        "the log tells when a server is taken out, and fail_timeout, in whole seconds, when it may come back.",
        "As requisições partiram no máximo {lag} ms depois do instante devido (pior execução). O balanceador foi observado "
        "a cada 50 ms; no nginx o registro diz quando um servidor sai, e fail_timeout (segundos inteiros) quando volta.",
    ),
    "absent": ("Not installed here, and left out: {names}.", "Não instalados aqui, e deixados de fora: {names}."),
    "files": (
        "Beside this page: requests.csv (every request), events.csv (faults and ejections), summary.csv (figures).",
        "Ao lado desta página: requests.csv (cada requisição), events.csv (falhas e expulsões), summary.csv (números).",
    ),
}
"""By key: English, Portuguese. Braces are filled in by `Words.say`."""


class Words:
    """The texts in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = ("en", "pt").index(language)

    def __getitem__(self, key: str) -> str:
        return TEXTS[key][self._place]

    def say(self, key: str, **values: object) -> str:
        """The text with its braces filled in."""
        return self[key].format(**values)

    def fault(self, name: str) -> str:
        return self["errors_fault" if name == "errors" else name]

    def title(self, arrangement: str) -> str:
        """The name of an arrangement as a heading; nginx spells itself small."""
        name = self[arrangement]
        return name if arrangement == "nginx" else name[:1].upper() + name[1:]

    def number(self, value: float, digits: int = 0) -> str:
        """With the language's decimal mark."""
        text = f"{value:.{digits}f}"
        return text.replace(".", ",") if self.language == "pt" else text
