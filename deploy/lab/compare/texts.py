"""Every word of the report, in English and Portuguese. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Language = Literal["en", "pt"]

TEXTS: dict[str, tuple[str, str]] = {
    # The page's head and its sections
    "title": ("Active and passive health checks, compared", "Verificações de saúde ativas e passivas, comparadas"),
    "lead": (
        "Three web UIs behind each balancer in turn. The same requests arrive at times fixed beforehand, while "
        "one UI is broken. What did users see, how soon did the balancer keep away, and what did it cost?",
        "Três interfaces web atrás de cada balanceador, um por vez. As mesmas requisições chegam em instantes "
        "fixados de antemão, enquanto uma interface é quebrada. O que os usuários viram, quando o balanceador "
        "passou a evitá-la e quanto isso custou?",
    ),
    "harmed": ("Users harmed", "Usuários prejudicados"),
    "harmed_note": (
        "Errors and stalls per run (median of the repetitions; below it the range). A stall is a right answer "
        "that came after more than {stall} s; an error is a bad status, a broken connection, or {patience} s "
        "without an answer.",
        "Erros e travamentos por execução (mediana das repetições; abaixo, a faixa). Travamento é uma resposta "
        "certa que levou mais de {stall} s; erro é um status ruim, uma conexão rompida ou {patience} s sem "
        "resposta.",
    ),
    "of_requests": ("of about {count} requests", "de cerca de {count} requisições"),
    "whisker": ("line: range over repetitions", "linha: faixa das repetições"),
    "findings": ("In plain words", "Em poucas palavras"),
    "findings_note": (
        "Computed from this run's figures. Arrangements are told apart only where the ranges of their repetitions are "
        "well apart and the difference is more than chance makes (three standard deviations of a count; of a time, "
        "more than a probe's interval or a second of the clock, with three repetitions or more a tenth of a second).",
        "Calculado a partir dos números desta execução. Arranjos só são distinguidos quando as faixas das repetições "
        "estão bem separadas e a diferença é maior que a do acaso (três desvios-padrão de uma contagem; num tempo, "
        "mais que o intervalo entre sondas ou um segundo do relógio, ou um décimo de segundo com três repetições ou "
        "mais).",
    ),
    "once": (
        "One repetition: take every difference for a hint, and repeat before you believe it.",
        "Uma repetição: tome cada diferença como indício, e repita antes de acreditar.",
    ),
    "soon": ("How soon", "Em quanto tempo"),
    "soon_note": (
        "Seconds; never: not before the run ended. Avoided: from the fault until users' requests were sent to that "
        "server no more, seen from outside for every balancer in the same way, from the packets it sent (a later "
        "trial with one request does not count). Told: until its own log said that the server is out. Back: from the "
        "cure until that server served a request well.",
        "Segundos; nunca: não antes do fim da execução. Evitado: da falha até que nenhuma requisição de usuário fosse "
        "mais enviada àquele servidor, visto de fora e do mesmo modo para todos, pelos pacotes enviados (uma "
        "tentativa posterior com uma só requisição não conta). Avisado: até o registro do próprio balanceador dizer "
        "que o servidor saiu. De volta: da cura até aquele servidor atender bem uma requisição.",
    ),
    "no_tap": (
        "Packets could not be seen here (that takes root, or user namespaces), so there is no time until a server "
        "was avoided; only what each balancer says itself.",
        "Aqui não foi possível ver pacotes (é preciso ser root, ou ter namespaces de usuário); não há o tempo até o "
        "servidor ser evitado, só o que cada balanceador diz de si.",
    ),
    "cost": ("What it cost", "Quanto custou"),
    "cost_note": (
        "Medians over all runs of an arrangement. Probes are those the balancer sent to all three servers. "
        "Processor time is of the whole run, users' requests included, so what checks cost is the difference "
        "between arrangements of the same program.",
        "Medianas de todas as execuções de um arranjo. As sondas são as que o balanceador enviou aos três "
        "servidores. O tempo de processador é o da execução inteira, com as requisições dos usuários; o custo das "
        "verificações é a diferença entre arranjos do mesmo programa.",
    ),
    "timelines": ("Moment by moment", "Momento a momento"),
    "timelines_note": (
        "The first trustworthy repetition of each arrangement. Every mark is a request, placed when it was due, "
        "in the lane of the server that answered; those that no server answered are in the lowest lane. A dot "
        "below is a user's request that was sent to the broken server, whoever answered it in the end. A bar is a "
        "time in which the balancer said that it kept traffic away; shading is the fault.",
        "A primeira repetição confiável de cada arranjo. Cada marca é uma requisição, no instante em que devia "
        "partir, na faixa do servidor que respondeu; as que nenhum servidor respondeu estão na faixa mais baixa. "
        "Um ponto abaixo é uma requisição de usuário enviada ao servidor quebrado, não importa quem respondeu no "
        "fim. Uma barra é um período em que o balanceador disse evitar o servidor; o sombreado é a falha.",
    ),
    "latency": ("Latency, from when a request was due", "Latência, desde o instante em que a requisição era devida"),
    "latency_note": (
        "Latency: median, 90th and 99th percentile and maximum of all requests of a run, on a logarithmic scale.",
        "Latência: mediana, percentis 90 e 99 e máximo de todas as requisições de uma execução, em escala "
        "logarítmica.",
    ),
    "as_table": ("The same as a table", "O mesmo em tabela"),
    "figures": ("All figures", "Todos os números"),
    "figures_note": (
        "Medians over the repetitions that count ({repetitions} planned), ranges in brackets where they differ.",
        "Medianas das repetições que contam ({repetitions} planejadas), faixas entre colchetes onde diferem.",
    ),
    "figures_once": ("One run each; there is no spread to show.", "Uma execução de cada; não há dispersão a mostrar."),
    "conditions": ("How it was measured", "Como foi medido"),
    "parameters": ("Parameters", "Parâmetros"),
    # Names of figures and marks
    "arrangement": ("Arrangement", "Arranjo"),
    "fault": ("Fault", "Falha"),
    "repetitions": ("Runs", "Execuções"),
    "errors": ("Errors", "Erros"),
    "stalls": ("Stalls", "Travamentos"),
    "detect_s": ("Avoided after", "Evitado após"),
    "told_s": ("Told after", "Avisado após"),
    "recover_s": ("Back after", "De volta após"),
    "avoided": ("avoided", "evitado"),
    "told": ("told", "avisado"),
    "back": ("back", "de volta"),
    "false_ejections": ("False ejections", "Expulsões falsas"),
    "probes_per_s": ("Probes per s", "Sondas por s"),
    "balancer_cpu_s": ("CPU, balancer", "CPU, balanceador"),
    "servers_cpu_s": ("CPU, servers", "CPU, servidores"),
    "shared_out": ("Share of the broken server", "Fração do servidor quebrado"),
    "p50_s": ("p50", "p50"),
    "p90_s": ("p90", "p90"),
    "p99_s": ("p99", "p99"),
    "max_s": ("max", "máx"),
    "kept_out": ("Kept out (s)", "Fora (s)"),
    "never": ("never", "nunca"),
    "unknown": ("–", "–"),
    "nobody": ("nobody", "ninguém"),
    "taken_out": ("kept out", "fora de serviço"),
    "tried": ("sent to the broken server", "enviada ao servidor quebrado"),
    "ok": ("right", "certa"),
    "stalled": ("stalled", "travada"),
    "error": ("error", "erro"),
    "and": ("and", "e"),
    # Arrangements and faults
    "passive": ("passive", "passiva"),
    "active": ("active", "ativa"),
    "both": ("both", "ambas"),
    "nginx": ("nginx", "nginx"),
    "haproxy": ("HAProxy", "HAProxy"),
    "passive_is": ("balancer-lite, passive checks", "balancer-lite, verificação passiva"),
    "active_is": ("balancer-lite, active checks", "balancer-lite, verificação ativa"),
    "both_is": ("balancer-lite, both kinds", "balancer-lite, os dois tipos"),
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
    "drop_is": ("its kernel drops every packet to it", "o kernel descarta cada pacote para ele"),
    "slow_is": ("right answers after {slow} s", "respostas certas após {slow} s"),
    "errors_is": ("status 500 in no time", "status 500 num instante"),
    "flap_is": ("refuses and serves by turns, about {flap} s each", "ora recusa, ora serve, cerca de {flap} s cada"),
    "rolling_is": ("each server restarts in its turn", "cada servidor reinicia na sua vez"),
    "overload_is": (
        "one request at a time, {busy} s each; its check waits in the same queue",
        "uma requisição por vez, {busy} s cada; a verificação espera na mesma fila",
    ),
    # Findings
    "best": (
        "<b>{fault}</b>: fewer users were harmed with {best} ({low}) than with {worst} ({high}).",
        "<b>{fault}</b>: menos usuários prejudicados com {best} ({low}) que com {worst} ({high}).",
    ),
    "equal": (
        "<b>{fault}</b>: no difference for users beyond chance ({range} harmed).",
        "<b>{fault}</b>: nenhuma diferença para os usuários além do acaso ({range} prejudicados).",
    ),
    "nothing_sure": (
        "<b>{fault}</b>: no run of it can be trusted, so nothing is said.",
        "<b>{fault}</b>: nenhuma execução é confiável; nada se afirma.",
    ),
    "not_counted": (
        "Not counted, for their runs cannot be trusted: {who}.",
        "Fora da conta, por não serem confiáveis: {who}.",
    ),
    "unseen": (
        "With {who}, requests went on being sent to the broken server.",
        "Com {who}, requisições continuaram a ser enviadas ao servidor quebrado.",
    ),
    "untold": ("Never said that the server is out: {who}.", "Nunca disse que o servidor saiu: {who}."),
    "sooner": (
        "It was avoided sooner with {first} ({low}) than with {last} ({high}).",
        "Foi evitado antes com {first} ({low}) que com {last} ({high}).",
    ),
    "told_sooner": (
        "By their own account, {first} knew sooner ({low}) than {last} ({high}).",
        "Segundo eles mesmos, {first} soube antes ({low}) que {last} ({high}).",
    ),
    "unaware": (
        "It was avoided ({low}) before any check took it out ({high}): requests that hang count as load, and least "
        "connections gives a loaded server no more.",
        "Foi evitado ({low}) antes que alguma verificação o tirasse ({high}): requisições presas contam como "
        "carga, e «menos conexões» não dá mais nada a um servidor carregado.",
    ),
    "back_sooner": (
        "After the cure it was back sooner with {first} ({low}) than with {last} ({high}).",
        "Após a cura, voltou antes com {first} ({low}) que com {last} ({high}).",
    ),
    "fed": (
        "The broken server drew up to {share} of the answers ({who}): it was always the least loaded.",
        "O servidor quebrado atraiu até {share} das respostas ({who}): era sempre o menos carregado.",
    ),
    "falsely": (
        "A server whose answers were right and in time was taken out: {who}.",
        "Um servidor com respostas certas e em tempo foi retirado: {who}.",
    ),
    # Trust
    "doubt": (
        "{count} of {total} figures are not to be trusted, and marked †: {why}. Measure again on a quiet machine, "
        "or with a lower --rate.",
        "{count} de {total} números não são confiáveis, e estão marcados com †: {why}. Meça de novo numa máquina "
        "calma, ou com --rate menor.",
    ),
    "late": ("the load itself was late", "a própria carga se atrasou"),
    "unsettled": ("users were harmed before anything was broken", "houve prejuízo antes de qualquer falha"),
    "died": ("the balancer ended by itself", "o balanceador terminou sozinho"),
    "blind": ("packets were missed", "pacotes não foram vistos"),
    "trusted": (
        "How late the load left (99th percentile of a run): {median} ms in the median run, {worst} ms in the "
        "worst; a run is trusted up to {bound} ms. Runs that were made again for that: {again}.",
        "Atraso da carga ao partir (percentil 99 de uma execução): {median} ms na execução mediana, {worst} ms na "
        "pior; uma execução é confiável até {bound} ms. Execuções refeitas por isso: {again}.",
    ),
    # Conditions
    "method": (
        "{rate} requests per second for {seconds} s in each run (a Poisson process of independent users), {posts} "
        "% of them POST with a small form, {kept} % over kept connections; the fault begins after {lead} s and "
        "lasts {lasts} s; a page takes {service} ms to make; seed {seed}: the same arrivals for every "
        "arrangement.",
        "{rate} requisições por segundo durante {seconds} s em cada execução (processo de Poisson, usuários "
        "independentes), {posts} % delas POST com um pequeno formulário, {kept} % em conexões mantidas; a falha "
        "começa após {lead} s e dura {lasts} s; uma página leva {service} ms para ser feita; semente {seed}: as "
        "mesmas chegadas para cada arranjo.",
    ),
    "apart": (
        "Load, balancer and each server are processes of their own on this machine; no network lies between them.",
        "Carga, balanceador e cada servidor são processos separados nesta máquina; não há rede entre eles.",
    ),
    "knobs_passive": (
        "Passive: max_fails {max_fails}, fail_timeout {fail_timeout_s} s. Status 500 counts as an answer, as it "
        "does in nginx by default.",
        "Passiva: max_fails {max_fails}, fail_timeout {fail_timeout_s} s. O status 500 conta como resposta, que é o "
        "padrão do nginx.",
    ),
    "knobs_active": (
        "Active: GET /healthz every {interval_s} s, timeout {probe_timeout_s} s, out after {fails} failures, back "
        "after {passes} success(es). The check goes the way of every page, through the same process and queue; "
        "only its port is another, to tell its packets from users'.",
        "Ativa: GET /healthz a cada {interval_s} s, limite de {probe_timeout_s} s, fora após {fails} falhas, de "
        "volta após {passes} sucesso(s). A verificação segue o caminho de qualquer página, no mesmo processo e na "
        "mesma fila; só a porta é outra, para distinguir seus pacotes dos dos usuários.",
    ),
    "knobs_all": (
        "All: least connections, connect timeout {connect_timeout_s} s, read timeout {read_timeout_s} s. "
        "balancer-lite and nginx ask the next server after an error or a timeout, unless a POST was sent; HAProxy "
        "only if connecting failed.",
        "Todos: menos conexões, limite de conexão {connect_timeout_s} s, de leitura {read_timeout_s} s. "
        "balancer-lite e nginx perguntam ao próximo servidor após um erro ou limite, salvo se um POST foi "
        "enviado; o HAProxy, só se a conexão falhou.",
    ),
    "log": (
        "What a balancer says itself comes from its log, read every 25 ms. Passive checks say when they disable a "
        "server, not when they take it back: that is reckoned, fail_timeout in whole seconds later, for "
        "balancer-lite and nginx alike.",
        "O que um balanceador diz de si vem do seu registro, lido a cada 25 ms. A verificação passiva diz quando "
        "desativa um servidor, não quando o aceita de volta: isso é calculado, fail_timeout em segundos inteiros "
        "depois, para balancer-lite e nginx igualmente.",
    ),
    "machine": ("Machine: {machine}. Programs: {programs}.", "Máquina: {machine}. Programas: {programs}."),
    "absent": ("Not installed here, and left out: {names}.", "Não instalados aqui, e deixados de fora: {names}."),
    "no_drop": (
        "This system lets nobody but root drop packets, so that fault was left out.",
        "Este sistema só deixa o root descartar pacotes; essa falha ficou de fora.",
    ),
    "unfinished": (
        "Interrupted: {done} of {total} runs were done, and only they are shown.",
        "Interrompido: {done} de {total} execuções foram feitas, e só elas aparecem.",
    ),
    "files": (
        "Beside this page: requests.csv (every request), events.csv (faults, ejections, tries), summary.csv "
        "(figures), experiment.jsonl (all of it, for onelite compare --from).",
        "Ao lado desta página: requests.csv (cada requisição), events.csv (falhas, expulsões, tentativas), "
        "summary.csv (números), experiment.jsonl (tudo, para onelite compare --from).",
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

    def list_of(self, names: Sequence[str]) -> str:
        """passive, active and both."""
        return f" {self['and']} ".join(filter(None, (", ".join(names[:-1]), names[-1])))

    def number(self, value: float, digits: int = 0) -> str:
        """With the language's decimal mark."""
        text = f"{value:.{digits}f}"
        return text.replace(".", ",") if self.language == "pt" else text

    def plain(self, value: float) -> str:
        """A number as a person would write it: no more digits than it has."""
        return self.number(value, 3).rstrip("0").rstrip(".,")
