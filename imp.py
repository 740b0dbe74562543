import builtins, sys
def rss(): return int(open('/proc/self/statm').read().split()[1])*4096/1e6
def shr(): return int(open('/proc/self/statm').read().split()[2])*4096/1e6
rows=[];orig=builtins.__import__;depth=[0]
import importlib._bootstrap as b
o=b._load_unlocked
stack=[]
def f(spec):
    a=rss(); stack.append(0)
    try: return o(spec)
    finally:
        d=rss()-a; own=d-stack.pop()
        if stack: stack[-1]+=d
        rows.append((own,d,spec.name))
b._load_unlocked=f
import torch; t=rss(),shr()
import clip_autt
from clip_autt import load_backbone, ClipAU, encode_video, ClipAUTT
print(torch.__version__, torch.version.cuda, t, rss(), shr())
rows.sort(reverse=True)
for r in rows[:25]: print('own %.0f total %.0f %s'%r)
print('total')
for r in sorted(rows,key=lambda r:-r[1])[:40]: print('own %.0f total %.0f %s'%r)
